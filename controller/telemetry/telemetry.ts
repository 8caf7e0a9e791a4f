import { createHash } from 'node:crypto';
import type { Logger } from 'pino';
import type { Clock } from '../clock.ts';
import type { Scoring } from '../scoring/best.ts';
import { admission, isLateFinal, type Refusal } from './admission.ts';
import type { Batch, BatchAnswer, Command } from './protocol.ts';
import { Roster, type PodLease } from './roster.ts';
import type { AttemptRow, StoredBatch, TelemetryStore } from './store/store.ts';
import type { JobTelemetry } from './jobtelemetry.ts';
import { contact, reduce, withFinal } from './summary.ts';
import { StoreHealth } from './storehealth.ts';
import { mintToken, type Keyring } from './tokens.ts';

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
const mostUncertain = 10_000;

/** All that trainers report goes through here: checked, made durable, summed up, and only then acknowledged. */
export class Telemetry {
  readonly #options: TelemetryOptions;
  readonly #roster = new Roster();
  readonly #jobs = new Map<string, JobTelemetry>();
  /** Batches whose write failed, and may be on disk all the same. */
  readonly #uncertain = new Set<string>();
  #ingestReadyAtMs: number | undefined;
  readonly #health: StoreHealth;

  constructor(options: TelemetryOptions) {
    this.#options = options;
    this.#health = new StoreHealth(options.store, options.clock, options.log);
  }

  /** Rebuilds the summaries from the store. Before this nothing is accepted. */
  async start(): Promise<void> {
    const { store, clock, log } = this.#options;
    for (const row of await store.attempts()) this.#roster.put(row);
    let batches = 0;
    for (let page = await store.batches(0, replayPage); page.length > 0;) {
      for (const row of page) {
        const { uid, attempt, receivedAt: atMs } = row;
        const events = eventsOf(row);
        const podID = this.#roster.get(uid, attempt)?.row.podID ?? '';
        this.#apply({ uid, attempt, podID, events, atMs, live: false });
      }
      batches += page.length;
      page = await store.batches(page.at(-1)?.id ?? 0, replayPage);
    }
    this.#ingestReadyAtMs = clock.now();
    log.info({ attempts: this.#roster.size, batches }, 'telemetry store replayed');
  }

  /** When this process began to hear trainers; undefined before. */
  get ingestReadyAtMs(): number | undefined {
    return this.#ingestReadyAtMs;
  }

  /** Why nothing can be made durable at the moment; undefined when it can. */
  get storeError(): string | undefined {
    return this.#health.error;
  }

  summary(uid: string): JobTelemetry | undefined {
    return this.#jobs.get(uid);
  }

  attempt(uid: string, attempt: number): AttemptRow | undefined {
    return this.#roster.get(uid, attempt)?.row;
  }

  scoring(uid: string, attempt: number): Scoring | undefined {
    return this.#roster.get(uid, attempt)?.scoring;
  }

  /** Every job that is remembered, and where it is, or was, in the cluster. */
  jobs(): readonly { readonly uid: string; readonly namespace: string; readonly name: string }[] {
    return this.#roster.uids().flatMap((uid) => this.#roster.attemptsOf(uid)[0]?.row ?? []);
  }

  /** Where a job is in the cluster, for those who may read its points. */
  jobOf(uid: string): { readonly namespace: string; readonly name: string } | undefined {
    return this.#roster.attemptsOf(uid)[0]?.row;
  }

  /**
   * Makes an attempt known, durably, and gives its token; those before it are over. To be called before its pod can exist.
   * Called again, after a crash, it changes nothing.
   */
  async openAttempt(
    row: Omit<AttemptRow, 'podID' | 'closed' | 'scoring'> & { scoring: Scoring },
  ): Promise<{ token: string; keyID: string }> {
    const { keyring, store } = this.#options;
    const { uid, attempt, nonce } = row;
    const fresh: AttemptRow = { ...row, scoring: JSON.stringify(row.scoring), podID: null, closed: false };
    await this.#health.durable(store.putAttempt(fresh));
    const known = this.#roster.get(uid, attempt)?.row;
    const { podID, closed } = known?.nonce === nonce ? known : fresh;
    this.#roster.put({ ...fresh, podID, closed });
    for (const { row: other } of this.#roster.attemptsOf(uid)) {
      if (other.attempt < attempt && !other.closed) this.#roster.put({ ...other, closed: true });
    }
    return { token: mintToken(keyring, uid, attempt, nonce), keyID: keyring.current };
  }

  /** From now on only this pod speaks for the attempt. */
  pinPod(uid: string, attempt: number, podID: string): void {
    const row = this.attempt(uid, attempt);
    if (!row || row.podID !== null) return;
    this.#roster.put({ ...row, podID });
    this.#inBackground(this.#options.store.pinPod(uid, attempt, podID));
  }

  /** The attempt is over: its token opens nothing any more, but for a final report that is still missing. */
  closeAttempt(uid: string, attempt: number): void {
    const row = this.attempt(uid, attempt);
    if (!row || row.closed) return;
    this.#roster.put({ ...row, closed: true });
    this.#inBackground(this.#options.store.closeAttempt(uid, attempt));
  }

  forgetJob(uid: string): void {
    if (!this.jobOf(uid) && !this.#jobs.has(uid)) return;
    this.#jobs.delete(uid);
    this.#roster.forget(uid);
    this.#inBackground(this.#options.store.forgetJob(uid));
  }

  /** What the trainer is to do, all of it; repeated with every answer until it is done. */
  setCommands(uid: string, attempt: number, commands: readonly Command[]): void {
    const row = this.attempt(uid, attempt);
    if (row) this.#roster.put(row, commands);
  }

  /** How long the attempt's pod may go on; every answer says how much of it is left. */
  setLease(uid: string, attempt: number, lease: PodLease): void {
    this.#roster.setLease(uid, attempt, lease);
  }

  /** Whether this token, for this pod, may speak for the attempt. */
  admit(token: string, uid: string, attempt: number, podID: string): Refusal | undefined {
    const refusal = admission(this.#options.keyring, { token, uid, attempt, podID }, this.attempt(uid, attempt));
    if (refusal?.kind === 'unauthorized' || this.#ingestReadyAtMs !== undefined) return refusal;
    return { kind: 'notYet', message: 'the operator is starting' };
  }

  /** Takes a batch, or a sign of life. Resolves with `accepted` only when it is durable. */
  async accept(token: string, uid: string, attempt: number, batch: Batch): Promise<Accepted | Refusal> {
    const { clock, observe } = this.#options;
    const refusal = this.admit(token, uid, attempt, batch.podID);
    // A final report that comes after its attempt was closed is kept for the record, once.
    if (refusal && !(isLateFinal(refusal, this.attempt(uid, attempt), batch) && !this.#hasFinal(uid, attempt)))
      return refusal;
    const nowMs = clock.now();
    const { session, sequence } = batch;
    if (sequence === undefined) {
      this.#contact(uid, attempt, batch.podID, nowMs);
      return { kind: 'accepted', answer: this.#answer(uid, attempt, null) };
    }
    const payload = JSON.stringify(batch.events);
    const hash = createHash('sha256').update(payload).digest('hex');
    const id = `${uid}/${attempt}/${session}/${sequence}`;
    let result;
    try {
      result = await this.#health.durable(
        this.#options.store.append({ uid, attempt, session, sequence, hash, receivedAt: nowMs, payload }),
      );
    } catch {
      if (this.#uncertain.size >= mostUncertain) this.#uncertain.clear();
      this.#uncertain.add(id);
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
    // What was stored when its write was taken for failed has not been summed up yet.
    const uncertain = this.#uncertain.delete(id);
    if (result.kind === 'stored' || uncertain) {
      observe?.points(batch.events.filter((event) => event.type === 'point').length);
      this.#apply({ uid, attempt, podID: batch.podID, events: batch.events, atMs: nowMs, live: true });
    }
    return { kind: 'accepted', answer: this.#answer(uid, attempt, { session, sequence }) };
  }

  #hasFinal(uid: string, attempt: number): boolean {
    return this.#jobs.get(uid)?.finals[attempt] !== undefined;
  }

  #contact(uid: string, attempt: number, podID: string, atMs: number): void {
    const before = this.#jobs.get(uid);
    this.#jobs.set(uid, contact(before, uid, attempt, podID, atMs));
    // A plain sign of life is no reason for a pass; the first one is.
    if (before?.attempt !== attempt) this.#options.onChange(uid, true);
  }

  #apply({ uid, attempt, podID, events, atMs, live }: AppliedBatch): void {
    const scoring = this.scoring(uid, attempt);
    // The job was forgotten while its batch was on the way to the disk.
    if (!scoring) return;
    const before = this.#jobs.get(uid);
    let job = contact(before, uid, attempt, podID, atMs);
    if (job.attempt !== attempt) {
      // An older attempt's late report: only its end is still of interest.
      const final = events.find((event) => event.type === 'final');
      if (final) this.#jobs.set(uid, withFinal(job, attempt, final, atMs));
      return;
    }
    for (const event of events) job = reduce(job, event, scoring, atMs);
    job = { ...job, lastSequence: job.lastSequence + 1 };
    this.#jobs.set(uid, job);
    if (!live) return;
    if (job.best && job.scorer.best !== before?.scorer.best) {
      const { step, score, components, evalLoss, trainLoss } = job.best;
      this.#options.log.info({ uid, attempt, step, score, components, evalLoss, trainLoss }, 'new best');
    }
    const urgent =
      before?.attempt !== attempt ||
      events.some(({ type }) => type !== 'point' && type !== 'prediction' && type !== 'log');
    this.#options.onChange(uid, urgent);
  }

  #answer(uid: string, attempt: number, acknowledged: BatchAnswer['acknowledged']): BatchAnswer {
    const { keyring, clock } = this.#options;
    const known = this.#roster.get(uid, attempt);
    const nowMs = clock.now();
    const secondsUntil = (ms: number): number => Math.max(0, (ms - nowMs) / 1000);
    return {
      acknowledged,
      commands: known?.commands ?? [],
      token: known ? mintToken(keyring, uid, attempt, known.row.nonce) : null,
      lease: known?.lease
        ? {
            remainingSeconds: secondsUntil(known.lease.untilMs),
            endsInSeconds: known.lease.endsAtMs === undefined ? null : secondsUntil(known.lease.endsAtMs),
          }
        : null,
      serverTime: new Date(nowMs).toISOString(),
    };
  }

  /**
   * For writes that need no repetition: a process that starts after a failure tells again, by the job's status, which pod
   * speaks and what is over.
   */
  #inBackground(write: Promise<void>): void {
    this.#health.durable(write).catch(() => undefined);
  }
}

function eventsOf({ id, payload }: StoredBatch): Batch['events'] {
  try {
    return JSON.parse(payload) as Batch['events'];
  } catch (error) {
    throw new Error(
      `batch ${id} of the telemetry store is damaged (${String(error)}); restore the file that STORE_PATH names from a backup`,
      { cause: error },
    );
  }
}
