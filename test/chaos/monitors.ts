import { parsePodName, uid12 } from '../../controller/api/identity.ts';
import { resolved } from '../../controller/api/resolve.ts';
import { finalizer, type TrainingJob } from '../../controller/api/trainingjob.ts';
import type { CreateCloudPodBody } from '../../controller/runpod/cloudpod.ts';
import type { Batch } from '../../controller/telemetry/protocol.ts';
import type { RentedPod } from './account.ts';
import type { Trainer } from './trainer.ts';
import type { World } from './world.ts';

/** Longest that a pod may bill that no attempt claims, while the operator is up (I1): two sightings and their lists. */
const mostLeakMs = 180_000;
/** A change that the watch swallowed is known only after the next list that audits it. */
const auditMs = 600_000;

/** Holds every write of a run, and its end, against the invariants. */
export class Monitors {
  readonly broken: string[] = [];
  /** A user's secret: no word of ours may contain it (I9). */
  readonly secret = 'hunter2-of-the-user';
  /** A hand other than the operator's is at work. */
  byHand = false;
  readonly #world: World;
  /** Names that a status gave up, or that a hand wiped from it: their pods are orphans, not the job's second pod. */
  readonly #released = new Set<string>();
  /** The largest budget that a job ever had, by its uid. */
  readonly #budgets = new Map<string, number>();
  /** Score of the best step with verified weights, by run. */
  readonly #best = new Map<string, number>();

  constructor(world: World) {
    this.#world = world;
  }

  broke(what: string): void {
    if (!this.broken.includes(what)) this.broken.push(what);
  }

  said(text: string): void {
    if (text.includes(this.secret)) this.broke('I9: a secret is told');
    if (/tj1\.[a-z0-9]+\.[a-z0-9]+\.[\w-]{43}/.test(text)) this.broke('I9: a token is told');
  }

  creating(body: CreateCloudPodBody): void {
    const uid = body.env['TRAININGJOB_UID'];
    const job = this.#world.cluster.jobs().find((entry) => entry.metadata.uid === uid);
    const attempt = job?.status?.attempt;
    if (!job?.metadata.finalizers?.includes(finalizer)) this.broke('I3: a create without the finalizer');
    if (attempt?.podName !== body.name || attempt.state !== 'Intent') this.broke('I3: a create without its intent');
    if (this.#world.account.created.has(body.name)) this.broke('I2: two creates of one attempt');
    if (this.#podsOf(uid ?? '').some(({ pod }) => !this.#released.has(pod.name)))
      this.broke('I2: a create while a pod of the job bills');
    if (JSON.stringify(body).includes(this.secret)) this.broke('I9: a secret in the clear at Runpod');
  }

  changed(before: TrainingJob | undefined, after: TrainingJob | undefined): void {
    if (before?.status?.attempt) this.#release(before, after);
    if (after) {
      const { uid } = after.metadata;
      const budget = Number(after.spec.budget?.maxTotal ?? Number.POSITIVE_INFINITY);
      this.#budgets.set(uid, Math.max(budget, this.#budgets.get(uid) ?? 0));
    }
    if (!before) return;
    this.#finalizerOff(before, after);
    if (!after || this.byHand) return;
    const [old, now] = [before.status, after.status];
    this.#runsAreAskedFor(before, after);
    this.#withinLimits(before, after);
    if (Number(now?.cost?.accrued ?? 0) < Number(old?.cost?.accrued ?? 0)) this.broke('I16: spent money comes back');
    if (old?.run?.number === now?.run?.number) this.#runOnlyEndsOnce(old, now);
    if ((now?.attempt?.number ?? 0) < (old?.attempt?.number ?? 0)) this.broke('I6: the attempt went back');
    if ((now?.observedGeneration ?? -1) < (old?.observedGeneration ?? -1)) this.broke('I5: the generation went back');
    this.#bestOnlyImproves(after);
    if (now?.completionTime !== undefined && old?.completionTime === undefined && this.#claimed(after))
      this.broke('I1: finished while a pod of the job bills');
  }

  acknowledged(trainer: Trainer, batch: Batch): void {
    const { rows } = this.#world;
    const row = rows.batches.filter(
      (entry) => entry.uid === trainer.uid && entry.session === batch.session && entry.sequence === batch.sequence,
    );
    // A job that was deleted meanwhile is forgotten on purpose.
    if (this.#jobOf(trainer.uid) && row.length !== 1) this.broke(`I7: acknowledged, and ${row.length} times on disk`);
    const newest = Math.max(
      0,
      ...[...rows.attempts.values()].filter(({ uid }) => uid === trainer.uid).map((entry) => entry.attempt),
    );
    if (trainer.attempt < newest && !batch.events.some(({ type }) => type === 'final'))
      this.broke('I8: a report of an old attempt was taken');
  }

  /** What must hold once a run came to rest. */
  atRest(): void {
    const { account, rows, trainers } = this.#world;
    if (account.ours().length > 0) this.broke('I1: a pod is left');
    for (const [name, times] of account.created) if (times > 1) this.broke(`I2: ${times} creates of ${name}`);
    for (const trainer of trainers) {
      if (!this.#jobOf(trainer.uid)) continue;
      const stored = rows.batches.filter((row) => row.uid === trainer.uid && row.attempt === trainer.attempt);
      const missing = trainer.acknowledged.filter(
        (batch) =>
          stored.filter((row) => row.sequence === batch.sequence && row.payload === JSON.stringify(batch.events))
            .length !== 1,
      );
      if (missing.length > 0) this.broke(`I7: ${missing.length} acknowledged batches are not there exactly once`);
    }
    for (const [uid, maxUsd] of this.#budgets) {
      const pods = account.rented.filter(
        ({ pod, body }) => body.env['TRAININGJOB_UID'] === uid && !this.#released.has(pod.name),
      );
      const spentUsd = account.billedUsd(pods);
      if (spentUsd > maxUsd + (0.12 / 3600) * this.#overrunSeconds) this.broke(`I16: ${spentUsd} USD spent`);
    }
    if (this.remembers()) this.broke('I17: the store remembers a deleted job');
  }

  /** Whether the store holds anything of a job that is gone. */
  remembers(): boolean {
    const uids = new Set(this.#world.cluster.jobs().map((job) => job.metadata.uid));
    return [...this.#world.rows.attempts.values()].some(({ uid }) => !uids.has(uid));
  }

  /** Seconds that a pod billed although nobody claimed it, beyond what the sweeper is allowed. */
  leaked(pod: RentedPod, sinceMs: number, nowMs: number): void {
    const mostMs =
      mostLeakMs + this.#world.lateSeconds * 1000 + (this.#world.cluster.watchFault?.fault === 'drop' ? auditMs : 0);
    if (nowMs - sinceMs > mostMs) this.broke(`I1: ${pod.pod.id} bills unclaimed for more than ${mostMs / 1000} s`);
  }

  /** A stop is late by a poll and the pod's end, and by as long as something kept it from being written (I16). */
  get #overrunSeconds(): number {
    return 30 + (this.#world.seam.grewStale ? 45 : 0) + this.#world.lateSeconds;
  }

  #release(before: TrainingJob, after: TrainingJob | undefined): void {
    const old = before.status?.attempt;
    const now = after?.status?.attempt;
    if (!old) return;
    if (now?.state === 'Abandoned') this.#released.add(old.podName);
  }

  #finalizerOff(before: TrainingJob, after: TrainingJob | undefined): void {
    const off = before.metadata.finalizers?.includes(finalizer) && !after?.metadata.finalizers?.includes(finalizer);
    if (off && this.#claimed(before)) this.broke('I4: the finalizer goes while a pod of the job bills');
  }

  #claimed(job: TrainingJob): boolean {
    return this.#podsOf(job.metadata.uid).some(({ pod }) => !this.#released.has(pod.name));
  }

  #runOnlyEndsOnce(old: TrainingJob['status'], now: TrainingJob['status']): void {
    if (old?.outcome && JSON.stringify(old.outcome) !== JSON.stringify(now?.outcome))
      this.broke('I5: the outcome changed');
    if (old?.completionTime !== undefined && now?.completionTime !== old.completionTime)
      this.broke('I5: the end went back');
  }

  #runsAreAskedFor({ status: old }: TrainingJob, job: TrainingJob): void {
    const now = job.status?.run;
    if (!old?.run || !now || now.number === old.run.number) return;
    if (now.restartToken === old.run.restartToken) this.broke('I5: a run that nobody asked for');
    if (this.#claimed(job)) this.broke('I2: a new run while a pod of the one before bills');
  }

  /** A retry is counted against the limits of the spec that it was decided on. */
  #withinLimits(before: TrainingJob, { status: now }: TrainingJob): void {
    const old = before.status;
    const { backoffLimit, hostFaultLimit, interruptionLimit } = resolved(before).spec.runPolicy;
    const limits = { user: backoffLimit, host: hostFaultLimit, interruption: interruptionLimit };
    for (const kind of ['user', 'host', 'interruption'] as const) {
      const used = now?.retries?.[kind] ?? 0;
      if (used > (old?.retries?.[kind] ?? 0) && used > limits[kind]) this.broke(`I5: ${used} retries of kind ${kind}`);
    }
  }

  /** A leader whose weights were never verified may give way to a best step that has them; verified weights never do. */
  #bestOnlyImproves({ metadata, status }: TrainingJob): void {
    if (status?.best?.score === undefined) return;
    const score = Number(status.best.score);
    const run = `${metadata.uid}/${status.run?.number ?? 1}`;
    if (score > (this.#best.get(run) ?? Number.POSITIVE_INFINITY)) this.broke('I5: the best score got worse');
    if (status.best.verified) this.#best.set(run, score);
  }

  #podsOf(uid: string): readonly RentedPod[] {
    return this.#world.account.ours().filter(({ pod }) => parsePodName(pod.name)?.uid12 === uid12(uid));
  }

  #jobOf(uid: string): TrainingJob | undefined {
    return this.#world.cluster.jobs().find((job) => job.metadata.uid === uid);
  }
}
