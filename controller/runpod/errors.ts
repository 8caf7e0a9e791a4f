export type RunpodErrorKind =
  | 'notFound'
  | 'capacity'
  | 'invalid'
  | 'balance'
  | 'forbidden'
  | 'unauthorized'
  | 'rateLimited'
  | 'conflict'
  /** Refused with problem+json, in words that fit no rule. */
  | 'unclassified'
  /** No usable answer to a call that may be repeated. */
  | 'transient'
  /** No usable answer to a create: a pod may have been made. */
  | 'unknownOutcome'
  | 'malformed';

/** The closed set of ways in which Runpod fails us; nothing outside this file reads Runpod's words. */
export class RunpodError extends Error {
  readonly kind: RunpodErrorKind;
  readonly status: number | undefined;
  readonly retryAfterMs: number | undefined;

  constructor(kind: RunpodErrorKind, message: string, details: { status?: number; retryAfterMs?: number } = {}) {
    super(stable(message));
    this.name = 'RunpodError';
    this.kind = kind;
    this.status = details.status;
    this.retryAfterMs = details.retryAfterMs;
  }
}

export interface Refusal {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
  readonly retryAfter: string | undefined;
}

/** The error for an answer that is not a success. `repeatable` is false for a create. */
export function runpodError(answer: Refusal, repeatable: boolean): RunpodError {
  const problem = problemOf(answer);
  const details = { status: answer.status, ...retryAfterOf(answer.retryAfter) };
  if (!problem || answer.status >= 500 || answer.status < 400) {
    const message = `Runpod answered ${answer.status}${problem ? `: ${problem}` : ' without a problem description'}`;
    if (!repeatable) return new RunpodError('unknownOutcome', message, details);
    return new RunpodError(
      answer.status < 500 ? (byStatus(answer.status) ?? 'transient') : 'transient',
      message,
      details,
    );
  }
  const kind = answer.status === 400 ? badRequestKind(problem) : (byStatus(answer.status) ?? 'unclassified');
  return new RunpodError(kind, problem, details);
}

function byStatus(status: number): RunpodErrorKind | undefined {
  switch (status) {
    case 401:
      return 'unauthorized';
    case 402:
      return 'balance';
    case 403:
      return 'forbidden';
    case 404:
      return 'notFound';
    case 409:
      return 'conflict';
    case 422:
      return 'invalid';
    case 429:
      return 'rateLimited';
    default:
      return undefined;
  }
}

/** Runpod says 400 both for "nothing in stock" and for a broken rule; only its words tell. */
const badRequests: readonly { readonly kind: RunpodErrorKind; readonly words: RegExp }[] = [
  {
    kind: 'capacity',
    words:
      /no (longer any |)(instances?|capacity|machines?|resources?|gpus?|cpus?)\b.*(available|left|found|free)|not? .*available|out of (stock|capacity)|insufficient (capacity|resources|stock)|capacity|unavailable/i,
  },
  { kind: 'balance', words: /balance|credit|funds|spend(ing)? limit/i },
  {
    kind: 'invalid',
    words:
      /\b(invalid|must|required|requires?|not allowed|cannot|can't|unknown|unsupported|mutually exclusive|exactly one|malformed|does not exist|not found|too (large|small|long))\b/i,
  },
];

function badRequestKind(problem: string): RunpodErrorKind {
  return badRequests.find((rule) => rule.words.test(problem))?.kind ?? 'unclassified';
}

/** Title, detail and errors of a problem+json body; undefined when it is none. */
function problemOf(answer: Refusal): string | undefined {
  if (!/^application\/(problem\+)?json\b/i.test(answer.contentType)) return undefined;
  try {
    const body: unknown = JSON.parse(answer.body);
    if (body === null || typeof body !== 'object') return undefined;
    const { title, detail, errors } = body as { title?: unknown; detail?: unknown; errors?: unknown };
    if (typeof title !== 'string' && typeof detail !== 'string') return undefined;
    const more = Array.isArray(errors) ? errors.filter((entry) => typeof entry === 'string') : [];
    return [typeof detail === 'string' ? detail : title, ...more].join('; ');
  } catch {
    return undefined;
  }
}

function retryAfterOf(header: string | undefined): { retryAfterMs?: number } {
  const seconds = Number(header);
  return header !== undefined && header !== '' && Number.isFinite(seconds) && seconds >= 0
    ? { retryAfterMs: seconds * 1000 }
    : {};
}

/**
 * Text that is the same each time the same thing goes wrong: a request id in a message would make every failure a status
 * write, which makes a pass, which makes a request, which makes a new id.
 */
export function stable(message: string): string {
  return (
    message
      .replaceAll(/[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}/gi, '(id)')
      .replaceAll(/\b\d{4}-\d\d-\d\dT[\d:.]+(Z|[+-]\d\d:?\d\d)?/g, '(time)')
      .replaceAll(/\b(?=[0-9a-f]*\d)[0-9a-f]{16,}\b/gi, '(id)')
      .replaceAll(/\b(request[ -]?id|trace[ -]?id|req)[:= ]+[\w-]+/gi, '$1 (id)')
      // eslint-disable-next-line no-control-regex
      .replaceAll(/[\u0000-\u001f\u007f-\u009f\s]+/g, ' ')
      .trim()
      .slice(0, 300)
  );
}
