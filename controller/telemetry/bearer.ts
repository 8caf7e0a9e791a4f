/** The token of `Authorization: Bearer TOKEN`; empty when there is none. */
export function bearer(header: string | undefined): string {
  return /^Bearer ([^\s]+)$/.exec(header ?? '')?.[1] ?? '';
}
