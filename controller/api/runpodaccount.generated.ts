// Generated from crds/runpodaccounts.yaml by controller/api/generate.ts; edit the CRD and run `make generate`.

/**
 * Whose money is spent, and by whom.
 */
export interface RunpodAccountSpec {
/**
 * The Secret with the account's API key, in the operator's own namespace. A changed key is used within seconds; it must be one of the same account while pods are rented.
 */
apiKeySecretRef: {
/**
 * Name of the Secret.
 */
name: string
/**
 * Key in the Secret's data.
 */
key: string
}
/**
 * Whose jobs may rent in this account. Pods of a namespace that is taken off the list go on to their end.
 */
allowedNamespaces: {
/**
 * Names: the namespaces that are listed. All: every namespace.
 */
from: ("Names" | "All")
/**
 * Namespaces, by name.
 */
names?: string[]
}
}

/**
 * What the operator learnt of the account.
 */
export interface RunpodAccountStatus {
observedGeneration: number
/**
 * Pods that this operator rents in the account.
 */
pods?: number
/**
 * What these pods cost together, USD per hour.
 */
pricePerHour?: string
/**
 * KeyValid, BalanceSufficient and TrainersConnect, and Ready for all of them.
 */
conditions?: {
type: string
status: ("True" | "False" | "Unknown")
reason: string
message: string
observedGeneration?: number
lastTransitionTime: string
}[]
}
