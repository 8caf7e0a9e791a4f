import { randomBytes } from 'node:crypto';
import type { Container } from './container.ts';

interface StubAnswer {
  readonly commands?: readonly { readonly id?: string; readonly type: string }[];
}

interface StubConfig {
  readonly agent: { readonly heartbeatSeconds: number };
  readonly resume?: { readonly checkpoints: readonly { readonly uri: string; readonly step: number }[] } | null;
}

/** What a stub does after it connected; its image is `stub:` and this word. */
const behaviours = [
  'heartbeat',
  'succeed',
  'fail',
  'silent',
  'never',
  'stubborn',
  'checkpoint',
  'failonce',
  'preempted',
] as const;
type Behaviour = (typeof behaviours)[number];

/** What is wrong with an image that begins with `stub:`. */
export function stubImageProblem(image: string): string | undefined {
  const known = behaviours.map((word) => `stub:${word}`);
  return known.includes(image) ? undefined : `image "${image}" is invalid; write one of ${known.join(', ')}`;
}

/**
 * A trainer without a process, so that hundreds of pods fit on a small machine. It speaks the agent's protocol: fetches its
 * configuration, gives signs of life, and
 * - heartbeat: goes on for ever, and obeys a stop;
 * - succeed, fail: reports a few points and an end;
 * - silent: is never heard again;
 * - never: does not connect at all;
 * - stubborn: gives signs of life and ignores every command;
 * - checkpoint: goes on from the checkpoint that it is offered, reports ten steps more with their evaluation, and then waits;
 *   it obeys a stop, and stores a checkpoint when it is asked for one;
 * - failonce: fails in the first attempt and succeeds in any other;
 * - preempted: reports that its pod was ended from outside.
 */
export function runStub(image: string, env: Readonly<Record<string, string>>): Container {
  const wanted = image.slice('stub:'.length);
  const behaviour = behaviours.find((word) => word === wanted) ?? 'heartbeat';
  const stopped = new AbortController();
  const running =
    behaviour === 'never' ? Promise.resolve() : live(behaviour, env, stopped.signal).catch(() => undefined);
  return {
    pid: undefined,
    kill: () => stopped.abort(),
    async stop() {
      stopped.abort();
      await running;
    },
  };
}

async function live(behaviour: Behaviour, env: Readonly<Record<string, string>>, signal: AbortSignal): Promise<void> {
  const base = `${env['TRAININGJOB_URL']}/v1/jobs/${env['TRAININGJOB_UID']}/attempts/${env['TRAININGJOB_ATTEMPT']}`;
  const podID = env['RUNPOD_POD_ID'] ?? '';
  const headers = {
    authorization: `Bearer ${env['TRAININGJOB_TOKEN']}`,
    'x-runpod-pod-id': podID,
    'content-type': 'application/json',
  };
  const config = (await repeated(() => fetch(`${base}/config`, { headers, signal }), signal)) as StubConfig;
  const session = randomBytes(8).toString('hex');
  let sequence = 0;
  const post = (events: readonly object[]): Promise<unknown> => {
    const body = JSON.stringify({ session, podID, events, ...(events.length > 0 && { sequence: (sequence += 1) }) });
    return repeated(() => fetch(`${base}/events`, { method: 'POST', headers, body, signal }), signal);
  };
  await post([{ type: 'started', trainerVersion: 'stub' }]);
  const end = endOf(behaviour, env['TRAININGJOB_ATTEMPT'] === '1');
  if (end) await post(story([10, 20, 30]));
  if (end) await post([end]);
  if (behaviour === 'silent') return;
  let step = 0;
  if (behaviour === 'checkpoint') {
    const from = config.resume?.checkpoints[0];
    if (from) await post([{ type: 'resumed', step: from.step, uri: from.uri, rejected: [] }]);
    step = (from?.step ?? 0) + 10;
    await post(story([step]));
  }
  let over = end !== undefined || behaviour === 'stubborn';
  const obeyed = new Set<string>();
  while (!signal.aborted) {
    await delay(config.agent.heartbeatSeconds * 1000, signal);
    const answer = (await post([])) as StubAnswer;
    const asked = answer.commands?.find((command) => command.type === 'checkpoint')?.id;
    if (behaviour === 'checkpoint' && asked !== undefined && !obeyed.has(asked)) {
      obeyed.add(asked);
      const uri = `file:///volume/stub/${env['TRAININGJOB_UID']}/${step}`;
      await post([{ type: 'checkpoint', step, uri, manifestSHA256: 'c'.repeat(64), verified: true }]);
    }
    if (!over && answer.commands?.some((command) => command.type === 'stop')) {
      over = true;
      await post([
        { type: 'final', outcome: 'Stopped', exitCode: 130, reason: 'Stopped', message: 'Stopped on request.' },
      ]);
    }
  }
}

/** The final report of a stub that ends by itself. */
function endOf(behaviour: Behaviour, first: boolean): object | undefined {
  const type = 'final';
  switch (behaviour) {
    case 'succeed':
      return { type, outcome: 'Succeeded', exitCode: 0, reason: 'Succeeded', message: 'The stub is done.' };
    case 'fail':
      return { type, outcome: 'Failed', exitCode: 1, reason: 'TrainerFailed', message: 'The stub failed on purpose.' };
    case 'failonce':
      return endOf(first ? 'fail' : 'succeed', first);
    case 'preempted':
      return { type, outcome: 'Stopped', exitCode: 143, reason: 'Preempted', message: 'The stub was sent away.' };
    case 'heartbeat':
    case 'silent':
    case 'never':
    case 'stubborn':
    case 'checkpoint':
      return undefined;
  }
}

function story(steps: readonly number[]): readonly object[] {
  return [
    { type: 'totals', totalSteps: 30, evaluationEverySteps: 10 },
    ...steps.flatMap((step) => [
      { type: 'point', step, metrics: { 'train/loss': 1 / step } },
      { type: 'evaluation', step, evalLoss: 1.5 / step, trainLoss: 1 / step, trainLossStep: step, metrics: {} },
    ]),
  ];
}

/** The JSON of the first good answer; 410 and 401 end the stub, anything else is tried again. */
async function repeated(send: () => Promise<Response>, signal: AbortSignal): Promise<unknown> {
  for (;;) {
    const response = await send().catch(() => undefined);
    if (response?.ok) return response.json();
    if (signal.aborted || response?.status === 410 || response?.status === 401) throw new Error('the stub is over');
    await response?.body?.cancel();
    await delay(500, signal);
  }
}

function delay(ms: number, signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    }
    if (signal.aborted) done();
    signal.addEventListener('abort', done);
  });
}
