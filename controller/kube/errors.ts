export type KubeErrorKind =
  | 'conflict'
  | 'gone'
  | 'notFound'
  | 'alreadyExists'
  | 'invalid'
  | 'forbidden'
  | 'unauthorized'
  | 'tooManyRequests'
  | 'transient'
  | 'malformed';

/** What the API server, or the way to it, said instead of an answer. */
export class KubeError extends Error {
  readonly kind: KubeErrorKind;
  /** HTTP status; undefined when there was no answer. */
  readonly status: number | undefined;
  /** The API server's one word, such as AlreadyExists or Expired; empty when it gave none. */
  readonly reason: string;
  readonly retryAfterMs: number | undefined;

  constructor(
    kind: KubeErrorKind,
    message: string,
    details: { status?: number; reason?: string; retryAfterMs?: number } = {},
  ) {
    super(message);
    this.name = 'KubeError';
    this.kind = kind;
    this.status = details.status;
    this.reason = details.reason ?? '';
    this.retryAfterMs = details.retryAfterMs;
  }
}

/** From an HTTP status and the `Status` object in its body. */
export function kubeError(status: number, body: string, retryAfter: string | undefined): KubeError {
  const { message, reason } = statusOf(body);
  const seconds = Number(retryAfter);
  return new KubeError(kindOf(status, reason), message === '' ? `the API server answered ${status}` : message, {
    status,
    reason,
    ...(retryAfter !== undefined && Number.isFinite(seconds) && { retryAfterMs: seconds * 1000 }),
  });
}

function kindOf(status: number, reason: string): KubeErrorKind {
  switch (status) {
    case 400:
    case 413:
    case 415:
    case 422:
      return 'invalid';
    case 401:
      return 'unauthorized';
    case 403:
      return 'forbidden';
    case 404:
      return 'notFound';
    case 409:
      return reason === 'AlreadyExists' ? 'alreadyExists' : 'conflict';
    case 410:
      return 'gone';
    case 429:
      return 'tooManyRequests';
    default:
      return 'transient';
  }
}

function statusOf(body: string): { readonly message: string; readonly reason: string } {
  try {
    const parsed: unknown = JSON.parse(body);
    if (parsed !== null && typeof parsed === 'object') {
      const { message, reason } = parsed as { message?: unknown; reason?: unknown };
      return { message: typeof message === 'string' ? message : '', reason: typeof reason === 'string' ? reason : '' };
    }
  } catch {
    // A proxy's HTML or a cut answer: the status code alone has to do.
  }
  return { message: '', reason: '' };
}
