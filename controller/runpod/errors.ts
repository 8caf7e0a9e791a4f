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

/**
 * The error for an answer that is not a success. `repeatable` is false for a create: only a 4xx in Runpod's own form is a
 * definite refusal of one. A 408 is none, because who says that it waited too long does not say what became of the request.
 */
export function runpodError(answer: Refusal, repeatable: boolean): RunpodError {
  const problem = problemOf(answer);
  const details = { status: answer.status, ...retryAfterOf(answer.retryAfter) };
  if (problem === undefined || answer.status >= 500 || answer.status < 400 || answer.status === 408) {
    const message = `Runpod answered ${answer.status}${problem !== undefined ? `: ${problem}` : ' without a problem description'}`;
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

/**
 * Runpod says 400 both for "nothing in stock" and for a broken rule; only its words tell. `invalid` gives a candidate up until the
 * spec changes, so words that a passing trouble might use too are left unclassified: those are asked again, their text shown.
 */
const badRequests: readonly { readonly kind: RunpodErrorKind; readonly words: RegExp }[] = [
  {
    kind: 'capacity',
    words:
      /\bno (longer )?(any )?(free |available )?(instances?|machines?|hosts?|gpus?|cpus?|capacity)\b.*\b(available|free|left|found)\b|\bno (free |available |more )?(instances|machines|hosts|gpus|capacity|stock)\b|\bnot have the resources\b|\bnot enough (free )?(instances|machines|gpus|capacity|resources)\b|\bout of (stock|capacity)\b|\binsufficient (\w+ )?(capacity|resources|stock)\b|\bcould not be placed\b/i,
  },
  { kind: 'balance', words: /\b(balance|credits?|funds)\b|\bspend(ing)? limit\b/i },
  {
    kind: 'invalid',
    words:
      /\b(invalid|unsupported|malformed|mutually exclusive|exactly one of|must (be|not|have|match|contain)|(is|are) (required|unknown|not (allowed|supported))|does not exist|unexpected property|additional propert(y|ies)|too (large|small|long))\b/i,
  },
];

function badRequestKind(problem: string): RunpodErrorKind {
  return badRequests.find((rule) => rule.words.test(problem))?.kind ?? 'unclassified';
}

/** Detail and errors of a problem+json body; undefined when it is none, as a proxy's page is. */
function problemOf(answer: Refusal): string | undefined {
  if (!/^application\/problem\+json\b/i.test(answer.contentType)) return undefined;
  try {
    const body: unknown = JSON.parse(answer.body);
    if (body === null || typeof body !== 'object') return undefined;
    const { title, detail, errors } = body as { title?: unknown; detail?: unknown; errors?: unknown };
    if (typeof title !== 'string' || typeof detail !== 'string') return undefined;
    const more = Array.isArray(errors) ? errors.filter((entry) => typeof entry === 'string') : [];
    return [detail === '' ? title : detail, ...more].join('; ');
  } catch {
    return undefined;
  }
}

/** Length of Runpod's longest rate window: nothing need be waited for longer. */
const dayMs = 86_400_000;

/** Runpod says it in whole seconds. */
function retryAfterOf(header: string | undefined): { retryAfterMs?: number } {
  return header !== undefined && /^\d+$/.test(header) ? { retryAfterMs: Math.min(dayMs, Number(header) * 1000) } : {};
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
