/** The token of `Authorization: Bearer TOKEN`; empty when there is none. */
export function bearer(header: string | undefined): string {
  return /^bearer ([^\s]+)$/i.exec(header ?? '')?.[1] ?? '';
}
