/** What the agent of a pod wants to know or tell; it waits for the answer before the next. Names are as they travel. */
export interface Question {
  readonly id: string;
  /** The pod that it says it is. */
  readonly podID: string;
  readonly kind: 'config' | 'events';
  /** A batch; null when the configuration is asked for. */
  readonly body: unknown;
}

/** The answer that the operator's own server gives to a question. */
export interface Answer {
  readonly id: string;
  readonly status: number;
  readonly body: unknown;
  readonly retryAfterSeconds: number | null;
}

/** The question in an agent's reply, null when it has none; undefined for anything else than such a reply. */
export function parseReply(text: string): Question | null | undefined {
  let reply: unknown;
  try {
    reply = JSON.parse(text);
  } catch {
    return undefined;
  }
  const question: unknown = record(reply)?.['question'];
  if (question === null) return null;
  const { id, podID, kind, body } = record(question) ?? {};
  if (typeof id !== 'string' || typeof podID !== 'string' || !/^[\w-]{1,64}$/.test(podID)) return undefined;
  return kind === 'config' || kind === 'events' ? { id, podID, kind, body: body ?? null } : undefined;
}

function record(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return value !== null && typeof value === 'object' ? (value as Record<string, unknown>) : undefined;
}
