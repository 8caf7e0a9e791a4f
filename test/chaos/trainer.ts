import type { AgentEvent, Batch, Command } from '../../controller/telemetry/protocol.ts';
import type { RentedPod } from './account.ts';
import type { World } from './world.ts';

/** How the trainer of one attempt behaves. */
export interface Behaviour {
  readonly trainSeconds: number;
  /** 10 unless told otherwise. */
  readonly stepSeconds?: number;
  readonly end: 'Succeeded' | 'Failed' | 'crashes' | 'goes silent';
  /** Seconds after the pod's start in which nothing gets through between pod and operator. */
  readonly cut?: { readonly from: number; readonly to: number };
  readonly connects?: boolean;
  /** Its losses are ten times as high. */
  readonly worse?: boolean;
  /** Posts every batch twice, as an agent does whose answer was lost. */
  readonly repeats?: boolean;
  readonly failsAtStep?: number;
}

export const trainsWell: Behaviour = { trainSeconds: 120, end: 'Succeeded' };

const heartbeatMs = 5000;
const evaluationEvery = 3;
const retryMs = 2000;
const patienceMs = 10_000;
const holdMs = 120_000;

/** An agent with its trainer: it trains whether or not it is heard, keeps what is not acknowledged, obeys, reports its end. */
export class Trainer {
  readonly #world: World;
  readonly #pod: RentedPod;
  readonly #behaviour: Behaviour;
  readonly #outbox: Batch[] = [];
  readonly #startedMs: number;
  #sequence = 0;
  #step = 0;
  #stopped = false;
  readonly #obeyed = new Set<string>();
  #over = false;
  /** Batches that were acknowledged, as they were sent. */
  readonly acknowledged: Batch[] = [];

  constructor(world: World, pod: RentedPod, behaviour: Behaviour) {
    this.#world = world;
    this.#pod = pod;
    this.#behaviour = behaviour;
    this.#startedMs = world.clock.monotonic();
  }

  get uid(): string {
    return this.#env('UID');
  }

  get attempt(): number {
    return Number(this.#env('ATTEMPT'));
  }

  start(): void {
    if (this.#gone || this.#behaviour.connects === false) return;
    void this.#begin();
  }

  async #begin(): Promise<void> {
    const resume = await this.#resume();
    if (this.#gone || resume === undefined) return;
    void this.#train(resume);
    void this.#send();
  }

  /** The step of the checkpoint that the operator offers, 0 for none; undefined for a pod that is to end. */
  async #resume(): Promise<number | undefined> {
    const { clock, account } = this.#world;
    while (!this.#gone) {
      const answer = this.#cut ? undefined : await this.#world.operator?.configuration(this.uid, this.attempt);
      if (answer?.status === 'ok') return answer.config.resume?.checkpoints[0]?.step ?? 0;
      if (answer?.status === 'superseded') {
        account.end(this.#pod);
        return undefined;
      }
      await clock.sleep(retryMs);
    }
    return undefined;
  }

  async #train(from: number): Promise<void> {
    const { clock, account } = this.#world;
    const { trainSeconds, stepSeconds = 10, failsAtStep } = this.#behaviour;
    this.#report({ type: 'started', trainerVersion: '1.0' });
    const steps = Math.round(trainSeconds / stepSeconds);
    this.#report({ type: 'totals', totalSteps: steps, evaluationEverySteps: evaluationEvery });
    if (from > 0) this.#report({ type: 'resumed', step: from, uri: this.#uri(from), rejected: [] });
    let { end } = this.#behaviour;
    for (let step = from + 1; step <= steps && !this.#stopped; step += 1) {
      await clock.sleep(stepSeconds * 1000);
      if (this.#gone) return;
      this.#step = step;
      this.#report({ type: 'point', step, metrics: { 'train/loss': 2 / step } });
      if (step % evaluationEvery === 0) this.#evaluate(step);
      if (step === failsAtStep) {
        end = 'Failed';
        break;
      }
    }
    if (end === 'goes silent') {
      this.#over = true;
      return;
    }
    if (end === 'crashes' && !this.#stopped) return account.end(this.#pod, 0);
    const outcome = this.#stopped ? 'Stopped' : end === 'Failed' ? 'Failed' : 'Succeeded';
    const exitCode = { Succeeded: 0, Failed: 1, Stopped: 130 }[outcome];
    this.#report({ type: 'final', outcome, exitCode, reason: `Trainer${outcome}`, message: `${outcome}.` });
    await clock.sleep(holdMs);
    while (!this.#gone && this.#outbox.length > 0) await clock.sleep(retryMs);
    if (!this.#gone) account.end(this.#pod);
  }

  #evaluate(step: number): void {
    const metrics = {};
    const scale = this.#behaviour.worse ? 10 : 1;
    const trainLoss = (2 / step) * scale;
    this.#report({ type: 'evaluation', step, evalLoss: 1.1 * trainLoss, trainLoss, trainLossStep: step, metrics });
    this.#checkpoint(step);
  }

  #checkpoint(step: number): void {
    this.#report({ type: 'checkpoint', step, uri: this.#uri(step), manifestSHA256: 'a'.repeat(64), verified: true });
  }

  #uri(step: number): string {
    return `s3://bucket/${this.uid}/${step}`;
  }

  #acknowledged(batch: Batch): void {
    this.acknowledged.push(batch);
    this.#world.monitors.acknowledged(this, batch);
  }

  /** Acts once on each command. */
  #obey({ id, type }: Command): void {
    if (type === 'stop') this.#stopped = true;
    else if (!this.#obeyed.has(id)) this.#checkpoint(this.#step);
    this.#obeyed.add(id);
  }

  #report(event: AgentEvent): void {
    this.#sequence += 1;
    const session = this.#pod.pod.id;
    this.#outbox.push({ session, sequence: this.#sequence, podID: session, events: [event] });
  }

  /** Posts what is kept, in order, and a sign of life when there is nothing. */
  async #send(): Promise<void> {
    const { clock } = this.#world;
    while (!this.#gone && !this.#over) {
      const kept = this.#outbox[0];
      if (kept && this.#behaviour.repeats) await this.#post(kept);
      const batch = kept ?? { session: this.#pod.pod.id, podID: this.#pod.pod.id, events: [] };
      const answer = await this.#post(batch);
      if (this.#gone) return;
      if (answer?.kind === 'accepted') {
        if (batch === this.#outbox[0]) {
          this.#outbox.shift();
          this.#acknowledged(batch);
        }
        for (const command of answer.answer.commands) this.#obey(command);
        await clock.sleep(this.#outbox.length > 0 ? 50 : heartbeatMs);
      } else if (answer?.kind === 'superseded') {
        this.#world.account.end(this.#pod);
        return;
      } else {
        if (answer?.kind === 'conflict') this.#world.monitors.broke(`I7: batch refused, ${answer.message}`);
        await clock.sleep(retryMs);
      }
    }
  }

  #post(batch: Batch): Promise<Awaited<ReturnType<NonNullable<World['operator']>['accept']>>> {
    const { clock, operator } = this.#world;
    if (!operator || this.#cut) return Promise.resolve(undefined);
    return Promise.race([
      operator.accept(this.#env('TOKEN'), this.uid, this.attempt, batch),
      clock.sleep(patienceMs).then(() => undefined),
    ]);
  }

  #env(name: string): string {
    return this.#pod.body.env[`TRAININGJOB_${name}`] ?? '';
  }

  /** Nothing gets through between pod and operator now. */
  get #cut(): boolean {
    const { cut } = this.#behaviour;
    const age = (this.#world.clock.monotonic() - this.#startedMs) / 1000;
    return cut !== undefined && age >= cut.from && age < cut.to;
  }

  get #gone(): boolean {
    return this.#pod.billedToMs !== undefined || this.#pod.stands !== undefined;
  }
}
