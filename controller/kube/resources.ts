import type { ResourceType } from './client.ts';

/** The kinds that the operator reads or writes; its role needs no other. */
export const trainingJobs: ResourceType = {
  group: 'training.finetunelab.ai',
  version: 'v1alpha1',
  plural: 'trainingjobs',
};
export const runpodAccounts: ResourceType = {
  group: 'training.finetunelab.ai',
  version: 'v1alpha1',
  plural: 'runpodaccounts',
};
export const clusterTrainingRuntimes: ResourceType = {
  group: 'training.finetunelab.ai',
  version: 'v1alpha1',
  plural: 'clustertrainingruntimes',
};
export const trainingRuntimes: ResourceType = {
  group: 'training.finetunelab.ai',
  version: 'v1alpha1',
  plural: 'trainingruntimes',
};
export const configMaps: ResourceType = { group: '', version: 'v1', plural: 'configmaps' };
export const secrets: ResourceType = { group: '', version: 'v1', plural: 'secrets' };
export const events: ResourceType = { group: 'events.k8s.io', version: 'v1', plural: 'events' };
export const tokenReviews: ResourceType = { group: 'authentication.k8s.io', version: 'v1', plural: 'tokenreviews' };
export const subjectAccessReviews: ResourceType = {
  group: 'authorization.k8s.io',
  version: 'v1',
  plural: 'subjectaccessreviews',
};
export const leases: ResourceType = { group: 'coordination.k8s.io', version: 'v1', plural: 'leases' };
