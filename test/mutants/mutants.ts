export interface Edit {
  readonly file: string;
  /** Must be there exactly once. */
  readonly old: string;
  readonly new: string;
}

/** A bug as somebody might write it one day, and the tests that must notice. */
export interface Mutant {
  readonly name: string;
  readonly edits: readonly Edit[];
  /** Test files for vitest, or for pytest where they end in .py. */
  readonly tests: readonly string[];
}

const chaos = 'test/chaos/sample.test.ts';

export const mutants: readonly Mutant[] = [
  {
    name: 'the intent is skipped: the create goes out before a word of it is in status',
    edits: [
      {
        file: 'controller/reconcile/stages/place.ts',
        old: `    action: nothing,
    record: {
      attempt: {
        number,
        nonce,
        podName: name,
        candidate: candidate.name,
        account: snapshot.account.name,
        state: 'Intent',
        intentTime: iso(snapshot.nowMs),
        transport: job.spec.telemetry?.transport ?? snapshot.policy.transport,
      },
    },`,
        new: `    action: {
      kind: 'createPod',
      candidate,
      attempt: {
        number,
        nonce,
        podName: name,
        candidate: candidate.name,
        account: snapshot.account.name,
        state: 'Intent',
        intentTime: iso(snapshot.nowMs),
        transport: job.spec.telemetry?.transport ?? snapshot.policy.transport,
      },
    },
    record: {},`,
      },
    ],
    tests: ['test/unit/createprotocol.test.ts', 'test/unit/placement.test.ts', chaos],
  },
  {
    name: 'a create is sent for an intent that another process wrote',
    edits: [
      {
        file: 'controller/reconcile/stages/launch.ts',
        old: `if (attempt?.state !== 'Intent' || snapshot.own.freshIntent !== attempt.number) return undefined;`,
        new: `if (attempt?.state !== 'Intent') return undefined;`,
      },
      {
        file: 'controller/reconcile/stages/unknownoutcome.ts',
        old: `if (attempt.state === 'Intent' && snapshot.own.freshIntent === attempt.number) return undefined;`,
        new: `if (attempt.state === 'Intent') return undefined;`,
      },
    ],
    tests: [chaos],
  },
  {
    name: 'a 404 is believed: who is told "no such pod" lets the job go',
    edits: [
      {
        file: 'controller/reconcile/act.ts',
        old: `    if (error.kind !== 'notFound') return { kind: 'terminateFailed', podID, error };`,
        new: `    if (error.kind !== 'notFound') return { kind: 'terminateFailed', podID, error };
    if (job.metadata.deletionTimestamp !== undefined)
      return { kind: 'resourceChanged', job: await context.effects.setFinalizers(job, []) };`,
      },
    ],
    tests: [chaos],
  },
  {
    name: 'one list without the pod is proof enough',
    edits: [
      {
        file: 'controller/runpod/gone.ts',
        old: 'last.startedAt - first.startedAt >= gapMs',
        new: 'last.startedAt - first.startedAt >= 0',
      },
    ],
    tests: ['test/unit/runpod-gone.test.ts', 'test/unit/ending.test.ts'],
  },
  {
    name: 'a list that lacks most pods is believed',
    edits: [
      {
        file: 'controller/runpod/inventory.ts',
        old: 'const believed = this.#believes(live, expected);',
        new: 'const believed = this.#believes(live, expected) || true;',
      },
    ],
    tests: ['test/unit/runpod-inventory.test.ts'],
  },
  {
    name: 'the finalizer goes as soon as the end was asked for',
    edits: [
      {
        file: 'controller/reconcile/stages/finalize.ts',
        old: `    case 'wait':
      return { stage: 'finalize', action: nothing,`,
        new: `    case 'wait':
      return { stage: 'finalize', action: { kind: 'removeFinalizer', abandoned: [] },`,
      },
    ],
    tests: ['test/unit/ending.test.ts', chaos],
  },
  {
    name: 'a list counts as proof whenever it was started',
    edits: [
      {
        file: 'controller/runpod/gone.ts',
        old: 'list.believed && list.startedAt > afterMs',
        new: 'list.believed',
      },
    ],
    tests: ['test/unit/runpod-gone.test.ts'],
  },
  {
    name: 'an evaluation is scored by whether the one before it had improved',
    edits: [
      {
        file: 'controller/scoring/best.ts',
        old: 'const improved = state.previousEvalLoss === null || (evalLoss !== null && evalLoss < state.previousEvalLoss);',
        new: 'const improved = state.sinceBest === 0;',
      },
    ],
    tests: ['test/unit/scoring.test.ts'],
  },
  {
    name: 'the best step is scored again at each evaluation, without its bonus',
    edits: [
      {
        file: 'controller/scoring/best.ts',
        old: 'const isBest = state.best === undefined || score.score < state.best.score;',
        new: `const again = state.best && multiMetricScore({ evalLoss: state.best.evalLoss, trainLoss: state.best.trainLoss, improved: false });
  const isBest = state.best === undefined || score.score < (again ?? state.best).score;`,
      },
    ],
    tests: ['test/unit/scoring.test.ts'],
  },
  {
    name: 'a batch is acknowledged before it is on the disk',
    edits: [
      {
        file: 'controller/telemetry/telemetry.ts',
        old: `result = await this.#health.durable(
        this.#options.store.append({ uid, attempt, session, sequence, hash, receivedAt: nowMs, payload }),
      );`,
        new: `void this.#health
        .durable(this.#options.store.append({ uid, attempt, session, sequence, hash, receivedAt: nowMs, payload }))
        .catch(() => undefined);
      result = { kind: 'stored' as 'stored' | 'duplicate' | 'conflict', expected: 0 };`,
      },
    ],
    tests: [chaos],
  },
  {
    name: 'an object is taken for another one of its name',
    edits: [
      {
        file: 'controller/kube/store.ts',
        old: 'if (this.get(storeKey(object))?.metadata.uid !== object.metadata.uid) return false;',
        new: 'if (!this.get(storeKey(object))) return false;',
      },
      {
        file: 'controller/kube/store.ts',
        old: 'if (this.get(key)?.metadata.uid !== uid) return false;',
        new: 'if (!this.get(key)) return false;',
      },
    ],
    tests: ['test/unit/kube-store.test.ts'],
  },
  {
    name: 'an end that was accepted counts as an end',
    edits: [
      {
        file: 'controller/reconcile/ending.ts',
        old: `if (isProvedGone(snapshot, attempt)) return { kind: 'gone' };`,
        new: `if (isProvedGone(snapshot, attempt) || terminateAccepted(snapshot, attempt.podID)) return { kind: 'gone' };`,
      },
      {
        file: 'controller/reconcile/ending.ts',
        old: `if (live.length > 0) return { kind: 'wait', podIDs: live.map((pod) => pod.id) };`,
        new: `if (live.length > 0) return { kind: 'gone' };`,
      },
    ],
    tests: ['test/unit/ending.test.ts', chaos],
  },
  {
    name: 'the sweeper ends what it sees for the first time',
    edits: [
      {
        file: 'controller/reconcile/sweep.ts',
        old: 'return first !== undefined && listedAtMs - first >= gapMs;',
        new: 'return true;',
      },
    ],
    tests: ['test/unit/sweep.test.ts'],
  },
  {
    name: 'the sweeper ends pods of another installation',
    edits: [
      {
        file: 'controller/reconcile/sweep.ts',
        old: `if (identity?.installation !== installation || pod.status === 'TERMINATED') return [];`,
        new: `if (!identity || pod.status === 'TERMINATED') return [];`,
      },
    ],
    tests: ['test/unit/sweep.test.ts'],
  },
  {
    name: 'after a create without an answer another one goes out at once',
    edits: [
      {
        file: 'controller/reconcile/stages/unknownoutcome.ts',
        old: 'const givenUp = snapshot.nowMs >= untilMs && listedAtMs !== undefined && listedAtMs >= untilMs;',
        new: 'const givenUp = listedAtMs !== undefined;',
      },
    ],
    tests: ['test/unit/createprotocol.test.ts', chaos],
  },
  {
    name: 'the budget forgets what earlier attempts cost',
    edits: [
      {
        file: 'controller/reconcile/cost.ts',
        old: `const settled = Number(status?.cost?.earlier ?? 0) + ledgerCostUsd(ledger);`,
        new: `const settled = Number(status?.cost?.earlier ?? 0);`,
      },
    ],
    tests: ['test/unit/status.test.ts', 'test/unit/deadlines.test.ts'],
  },
  {
    name: 'a later report changes how the run ended',
    edits: [
      {
        file: 'controller/reconcile/status.ts',
        old: 'if (record.outcome && !status.outcome) {',
        new: 'if (record.outcome) {',
      },
    ],
    tests: ['test/unit/status.test.ts', 'test/property/pure.test.ts', 'test/property/decide.test.ts'],
  },
  {
    name: 'the token of an attempt that is over still opens it',
    edits: [
      {
        file: 'controller/telemetry/admission.ts',
        old: `if (row.closed) return { kind: 'superseded', message: 'this attempt is over; end the pod' };`,
        new: '',
      },
    ],
    tests: ['test/integration/telemetry-auth.test.ts'],
  },
  {
    name: 'the rate that is charged is not looked at',
    edits: [
      {
        file: 'controller/reconcile/breach.ts',
        old: 'pod.costUsdPerHour > Number(maxPricePerHour)',
        new: 'pod.costUsdPerHour < 0',
      },
    ],
    tests: ['test/unit/createprotocol.test.ts', 'test/unit/placement.test.ts', chaos],
  },
  {
    name: 'the silence of a trainer counts from before the operator could hear',
    edits: [
      {
        file: 'controller/reconcile/stages/deadlines.ts',
        old: 'return Math.max(reported ?? connectedAtMs(snapshot) ?? 0, snapshot.ingestReadyAtMs);',
        new: 'return reported ?? connectedAtMs(snapshot) ?? 0;',
      },
    ],
    tests: ['test/unit/deadlines.test.ts', chaos],
  },
  {
    name: 'whatever answers at the address of a pod is believed without a proof',
    edits: [
      {
        file: 'controller/telemetry/pull/seal.ts',
        old: `  if (!timingSafeEqual(tag(token, sender, context, covered), message.subarray(-tagBytes))) return undefined;`,
        new: `  timingSafeEqual(tag(token, sender, context, covered), message.subarray(-tagBytes));`,
      },
    ],
    tests: ['test/unit/telemetry-seal.test.ts'],
  },
  {
    name: 'a recorded answer of the operator answers any later question',
    edits: [
      {
        file: 'trainer/src/trainingjob/agent/pull.py',
        old: `        if not isinstance(given, dict) or self._question is None or given.get("id") != self._question["id"]:`,
        new: `        if not isinstance(given, dict) or self._question is None:`,
      },
    ],
    tests: ['trainer/tests/test_pull.py::test_answer_that_was_recorded_and_is_sent_again_answers_nothing'],
  },
  {
    name: 'the spool lets a batch go before the operator answered',
    edits: [
      {
        file: 'trainer/src/trainingjob/agent/sender.py',
        old: `            if verdict == "ok":
                self._spool.acknowledge()`,
        new: `            if verdict in ("ok", "later"):
                self._spool.acknowledge()`,
      },
    ],
    tests: ['trainer/tests/test_agent.py::test_every_event_arrives_once_and_in_order'],
  },
  {
    name: 'the best checkpoint is rotated away like any other',
    edits: [
      {
        file: 'trainer/src/trainingjob/keeper.py',
        old: 'if step in newest or step in best or step == progress.tracker.best_step',
        new: 'if step in newest',
      },
    ],
    tests: ['trainer/tests/test_tabular.py::test_best_checkpoint_survives_rotation'],
  },
  {
    name: 'a checkpoint is removed though the operator knows of no newer one',
    edits: [{ file: 'trainer/src/trainingjob/keeper.py', old: ' - kept - counted_on)', new: ' - kept)' }],
    tests: ['trainer/tests/test_resume.py::test_what_the_operator_knows_of_stands_until_it_knows_what_takes_its_place'],
  },
  {
    name: 'a run takes its runtime anew with each attempt',
    edits: [
      {
        file: 'controller/reconcile/backing.ts',
        old: 'if (outcome || (words && isPinned(status, own))) return { words };',
        new: 'if (outcome) return { words };',
      },
    ],
    tests: ['test/unit/backing.test.ts'],
  },
  {
    name: "a runtime's words go before the job's",
    edits: [
      {
        file: 'controller/api/resolve.ts',
        old: 'runPolicy: { ...defaults.runPolicy, ...spec.runPolicy },',
        new: 'runPolicy: { ...spec.runPolicy, ...defaults.runPolicy },',
      },
    ],
    tests: ['test/property/resolve.test.ts'],
  },
  {
    name: 'a runtime of another method is taken',
    edits: [
      {
        file: 'controller/api/misfit.ts',
        old: 'if (fineTune && method !== undefined && method !== fineTune.method)',
        new: 'if (fineTune && method === null)',
      },
    ],
    tests: ['test/unit/finetunedefaults.test.ts'],
  },
];
