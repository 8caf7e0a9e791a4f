import type { CreateResult, OwnWrites } from './snapshot.ts';

/** What this process did to Runpod per job uid; the part of the world that neither status nor a list can show yet. */
export class WriteMemory {
  readonly #byUid = new Map<string, OwnWrites>();
  readonly #processStartedAtMs: number;

  constructor(processStartedAtMs: number) {
    this.#processStartedAtMs = processStartedAtMs;
  }

  of(uid: string): OwnWrites {
    return this.#byUid.get(uid) ?? { processStartedAtMs: this.#processStartedAtMs };
  }

  intentWritten(uid: string, attempt: number): void {
    this.#change(uid, { freshIntent: attempt });
  }

  /** From here on a pod may exist; the intent is no longer fresh even if sending throws at once. */
  createSent(uid: string, attempt: number, sentAtMs: number): void {
    const { freshIntent: _sent, ...rest } = this.of(uid);
    this.#byUid.set(uid, { ...rest, create: { attempt, sentAtMs }, lastWriteAtMs: sentAtMs });
  }

  createAnswered(uid: string, attempt: number, result: CreateResult, atMs: number): void {
    const sentAtMs = this.of(uid).create?.sentAtMs ?? atMs;
    this.#change(uid, { create: { attempt, sentAtMs, result }, lastWriteAtMs: atMs });
  }

  terminateSent(uid: string, podID: string, sentAtMs: number): void {
    this.#change(uid, { terminates: { ...this.of(uid).terminates, [podID]: { sentAtMs } }, lastWriteAtMs: sentAtMs });
  }

  terminateAccepted(uid: string, podID: string, atMs: number): void {
    const { terminates } = this.of(uid);
    const sentAtMs = terminates?.[podID]?.sentAtMs ?? atMs;
    this.#change(uid, {
      terminates: { ...terminates, [podID]: { sentAtMs, acceptedAtMs: atMs } },
      lastWriteAtMs: atMs,
    });
  }

  lastWordsRead(uid: string, podID: string, lines: readonly string[]): void {
    this.#change(uid, { lastWords: { podID, lines } });
  }

  statusWritten(uid: string, atMs: number): void {
    this.#change(uid, { statusWrittenAtMs: atMs });
  }

  forget(uid: string): void {
    this.#byUid.delete(uid);
  }

  #change(uid: string, change: Partial<OwnWrites>): void {
    this.#byUid.set(uid, { ...this.of(uid), ...change });
  }
}
