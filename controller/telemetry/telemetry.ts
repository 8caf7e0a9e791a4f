import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Scoring } from '../scoring/best.ts';
import type { Batch, BatchAnswer, Command } from './protocol.ts';
import type { AttemptRow, TelemetryStore } from './store/store.ts';
import { contact, reduce, type JobTelemetry } from './summary.ts';
import { mintToken, verifyToken, type Keyring } from './tokens.ts';

export interface TelemetryObserver {
  batch(result: string): void;
  points(count: number): void;
}

export interface TelemetryOptions {
  readonly store: TelemetryStore;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly log: Logger;
  /** Something that a pass could care about changed; `urgent` means more than progress. */
  readonly onChange: (uid: string, urgent: boolean) => void;
  readonly observe?: TelemetryObserver;
}

/** Why a request of an agent is not served, as the protocol words it. */
export type Refusal =
  | { readonly kind: 'unauthorized' }
  /** The attempt is over, or the pod is not the one that was rented for it. */
  | { readonly kind: 'superseded'; readonly message: string }
  /** Not known yet, or the store is away: keep and try again. */
  | { readonly kind: 'notYet'; readonly message: string }
  | { readonly kind: 'conflict'; readonly message: string; readonly expected: number };

export type Accepted = { readonly kind: 'accepted'; readonly answer: BatchAnswer };

interface AppliedBatch {
  readonly uid: string;
  readonly attempt: number;
  readonly podID: string;
  readonly events: Batch['events'];
  readonly atMs: number;
  /** False while the store is replayed: nobody is told of what was told before. */
  readonly live: boolean;
}

const replayPage = 500;

/** All that trainers report goes through here: checked, made durable, summed up, and only then acknowledged. */
export class Telemetry {
  readonly #options: TelemetryOptions;
  readonly #attempts = new Map<string, AttemptRow>();
  readonly #jobs = new Map<string, JobTelemetry>();
  readonly #commands = new Map<string, readonly Command[]>();
  #ingestReadyAtMs: number | undefined;
  #storeError: string | undefined;

  constructor(options: TelemetryOptions) {
    this.#options = options;
  }

  /** Rebuilds the summaries from the store. Before this nothing is accepted. */
  async start(): Promise<void> {
    const { store, clock, log } = this.#options;
    for (const row of await store.attempts()) this.#attempts.set(attemptKey(row.uid, row.attempt), row);
    let batches = 0;
    for (let after = 0; ;) {
      const page = await store.batches(after, replayPage);
      for (const row of page) {
        const events = JSON.parse(row.payload) as Batch['events'];
        const { uid, attempt, receivedAt: atMs } = row;
        const podID = this.#attempts.get(attemptKey(uid, attempt))?.podID ?? '';
        this.#apply({ uid, attempt, podID, events, atMs, live: false });
        after = row.id;
      }
      batches += page.length;
      if (page.length < replayPage) break;
    }
    this.#ingestReadyAtMs = clock.now();
    log.info({ attempts: this.#attempts.size, batches }, 'telemetry store replayed');
  }

  /** When this process began to hear trainers; undefined before. */
  get ingestReadyAtMs(): number | undefined {
    return this.#ingestReadyAtMs;
  }

  /** Why nothing can be made durable at the moment; undefined when it can. */
  get storeError(): string | undefined {
    return this.#storeError;
  }

  summary(uid: string): JobTelemetry | undefined {
    return this.#jobs.get(uid);
  }

  attempt(uid: string, attempt: number): AttemptRow | undefined {
    return this.#attempts.get(attemptKey(uid, attempt));
  }

  /** Where a job is in the cluster, for those who may read its points. */
  jobOf(uid: string): { readonly namespace: string; readonly name: string } | undefined {
    for (const row of this.#attempts.values()) if (row.uid === uid) return row;
    return undefined;
  }

  /** Makes an attempt known, durably, and gives its token. To be called before its pod can exist. */
  async openAttempt(
    row: Omit<AttemptRow, 'podID' | 'closed' | 'scoring'> & { scoring: Scoring },
  ): Promise<{ token: string; keyID: string }> {
    const { keyring } = this.#options;
    const full: AttemptRow = { ...row, scoring: JSON.stringify(row.scoring), podID: null, closed: false };
    await this.#durable(this.#options.store.putAttempt(full));
    this.#attempts.set(attemptKey(row.uid, row.attempt), full);
    return { token: mintToken(keyring, row.uid, row.attempt, row.nonce), keyID: keyring.current };
  }

  /** From now on only this pod speaks for the attempt. */
  pinPod(uid: string, attempt: number, podID: string): void {
    const key = attemptKey(uid, attempt);
    const row = this.#attempts.get(key);
    if (!row || row.podID !== null) return;
    this.#attempts.set(key, { ...row, podID });
    this.#inBackground(this.#options.store.pinPod(uid, attempt, podID));
  }

  /** The attempt is over: its token opens nothing any more, but for a final report that is still missing. */
  closeAttempt(uid: string, attempt: number): void {
    const key = attemptKey(uid, attempt);
    const row = this.#attempts.get(key);
    if (!row || row.closed) return;
    this.#attempts.set(key, { ...row, closed: true });
    this.#commands.delete(key);
    this.#inBackground(this.#options.store.closeAttempt(uid, attempt));
  }

  forgetJob(uid: string): void {
    if (!this.jobOf(uid) && !this.#jobs.has(uid)) return;
    this.#jobs.delete(uid);
    for (const [key, row] of this.#attempts) {
      if (row.uid !== uid) continue;
      this.#attempts.delete(key);
      this.#commands.delete(key);
    }
    this.#inBackground(this.#options.store.forgetJob(uid));
  }

  /** Forgets every job but these: what was deleted while this process did not run. */
  forgetOthers(uids: ReadonlySet<string>): void {
    const known = new Set([...this.#attempts.values()].map((row) => row.uid));
    for (const uid of known) if (!uids.has(uid)) this.forgetJob(uid);
  }

  /** What the trainer is to do, all of it; repeated with every answer until it is done. */
  setCommands(uid: string, attempt: number, commands: readonly Command[]): void {
    if (commands.length === 0) this.#commands.delete(attemptKey(uid, attempt));
    else this.#commands.set(attemptKey(uid, attempt), commands);
  }

  /** Whether this token, for this pod, may speak for the attempt. */
  admit(token: string, uid: string, attempt: number, podID: string): Refusal | undefined {
    const verified = verifyToken(this.#options.keyring, token, uid, attempt);
    if (!verified) return { kind: 'unauthorized' };
    if (this.#ingestReadyAtMs === undefined) return { kind: 'notYet', message: 'the operator is starting' };
    const row = this.#attempts.get(attemptKey(uid, attempt));
    if (!row) return { kind: 'notYet', message: 'this attempt is not known yet' };
    if (row.nonce !== verified.nonce) return { kind: 'unauthorized' };
    if (row.closed) return { kind: 'superseded', message: 'this attempt is over; end the pod' };
    if (row.podID === null) return { kind: 'notYet', message: 'the pod of this attempt is not recorded yet' };
    if (row.podID !== podID)
      return { kind: 'superseded', message: 'another pod was recorded for this attempt; end this one' };
    return undefined;
  }

  /** Takes a batch, or a sign of life. Resolves with `accepted` only when it is durable. */
  async accept(token: string, uid: string, attempt: number, batch: Batch): Promise<Accepted | Refusal> {
    const { clock, observe } = this.#options;
    const refusal = this.admit(token, uid, attempt, batch.podID);
    if (refusal && !this.#isLateFinal(refusal, uid, attempt, batch)) return refusal;
    const nowMs = clock.now();
    const { session, sequence } = batch;
    if (sequence === undefined) {
      this.#contact(uid, attempt, batch.podID, nowMs);
      return { kind: 'accepted', answer: this.#answer(uid, attempt, null) };
    }
    const payload = JSON.stringify(batch.events);
    const hash = createHash('sha256').update(payload).digest('hex');
    let result;
    try {
      result = await this.#durable(
        this.#options.store.append({ uid, attempt, session, sequence, hash, receivedAt: nowMs, payload }),
      );
    } catch {
      observe?.batch('storeFailed');
      return { kind: 'notYet', message: 'the telemetry store cannot be written; keep the batch and try again' };
    }
    observe?.batch(result.kind);
    if (result.kind === 'conflict') {
      return {
        kind: 'conflict',
        expected: result.expected,
        message: `sequence ${sequence} is not the next of its session, or its content differs`,
      };
    }
    if (result.kind === 'stored') {
      observe?.points(batch.events.filter((event) => event.type === 'point').length);
      this.#apply({ uid, attempt, podID: batch.podID, events: batch.events, atMs: nowMs, live: true });
    }
    return { kind: 'accepted', answer: this.#answer(uid, attempt, { session, sequence }) };
  }

  /** A final report that comes after its attempt was closed is kept for the record, once, if its token is good. */
  #isLateFinal(refusal: Refusal, uid: string, attempt: number, batch: Batch): boolean {
    const row = this.#attempts.get(attemptKey(uid, attempt));
    return (
      refusal.kind === 'superseded' &&
      row?.podID === batch.podID &&
      batch.sequence !== undefined &&
      batch.events.some((event) => event.type === 'final') &&
      this.#jobs.get(uid)?.finals[attempt] === undefined
    );
  }

  #contact(uid: string, attempt: number, podID: string, atMs: number): void {
    const before = this.#jobs.get(uid);
    this.#jobs.set(uid, contact(before, uid, attempt, podID, atMs));
    // A plain sign of life is no reason for a pass; the first one is.
    if (before?.attempt !== attempt) this.#options.onChange(uid, true);
  }

  #apply({ uid, attempt, podID, events, atMs, live }: AppliedBatch): void {
    const before = this.#jobs.get(uid);
    let job = contact(before, uid, attempt, podID, atMs);
    if (job.attempt !== attempt) {
      // An older attempt's late report: only its end is still of interest.
      const final = events.find((event) => event.type === 'final');
      if (final) this.#jobs.set(uid, { ...job, finals: { ...job.finals, [attempt]: { ...final, receivedAt: atMs } } });
      return;
    }
    const row = this.#attempts.get(attemptKey(uid, attempt));
    const scoring = JSON.parse(row?.scoring ?? '{"strategy":"MultiMetric"}') as Scoring;
    for (const event of events) job = reduce(job, event, scoring, atMs);
    job = { ...job, lastSequence: job.lastSequence + 1 };
    this.#jobs.set(uid, job);
    if (!live) return;
    if (job.best && job.best.step !== before?.best?.step) {
      const { step, score, components, evalLoss, trainLoss } = job.best;
      this.#options.log.info({ uid, attempt, step, score, components, evalLoss, trainLoss }, 'new best');
    }
    const urgent =
      before?.attempt !== attempt || events.some((event) => event.type !== 'point' && event.type !== 'log');
    this.#options.onChange(uid, urgent);
  }

  #answer(uid: string, attempt: number, acknowledged: BatchAnswer['acknowledged']): BatchAnswer {
    const { keyring, clock } = this.#options;
    const key = attemptKey(uid, attempt);
    const row = this.#attempts.get(key);
    return {
      acknowledged,
      commands: this.#commands.get(key) ?? [],
      token: row ? mintToken(keyring, uid, attempt, row.nonce) : null,
      serverTime: new Date(clock.now()).toISOString(),
    };
  }

  async #durable<T>(write: Promise<T>): Promise<T> {
    try {
      const value = await write;
      this.#storeError = undefined;
      return value;
    } catch (error) {
      this.#storeError = error instanceof Error ? error.message : String(error);
      this.#options.log.error({ error: this.#storeError }, 'telemetry store failed');
      throw error;
    }
  }

  /** For writes that are repeated by a later pass if they fail. */
  #inBackground(write: Promise<void>): void {
    this.#durable(write).catch(() => undefined);
  }
}

function attemptKey(uid: string, attempt: number): string {
  return `${uid}/${attempt}`;
}
