import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startRig, type DeepPartial, type Rig } from '../rig/rig.ts';
import { python, trainerImage, trainerImages, writeLanguage } from '../rig/trainer.ts';

let rig: Rig;
let volume: string;
let namespace: string;
beforeAll(async () => {
  rig = await startRig({
    images: trainerImages,
    volumes: [{ id: 'vol', name: 'vol', dataCenter: 'EU-RO-1', size: 10 }],
  });
  volume = rig.simulator.volumeFolder('vol');
  await writeLanguage(volume, 'SFT');
  // A trainer that is stopped may be loading its libraries.
  await rig.start({ TRAINER_IMAGE: trainerImage, STOP_GRACE_SECONDS: '30' });
  namespace = await rig.namespace();
});
afterAll(() => rig.stop());

/** The program that docs/custom.md shows under this name. */
function example(name: string): string {
  const page = readFileSync(new URL('../../docs/custom.md', import.meta.url), 'utf8');
  const found = new RegExp(`<!-- example: ${name} -->\\n\\n\`\`\`python\\n(.*?)\`\`\``, 's').exec(page)?.[1];
  if (found === undefined) throw new Error(`docs/custom.md has no example ${name}`);
  return found;
}

function joined(program: string, args: readonly string[], more: DeepPartial = {}): DeepPartial {
  return {
    trainer: {
      custom: { command: [python, '-c', program], args },
      env: [{ name: 'OMP_NUM_THREADS', value: '1' }],
    },
    compute: {
      candidates: [{ name: 'cpu', cpu: { flavor: 'cpu3c', vcpus: 2 } }],
      networkVolume: { id: 'vol', mountPath: '/volume' },
    },
    evaluation: { everySteps: 20 },
    checkpoints: { uri: 'file:///volume/checkpoints', keepBest: 1, keepLast: 1 },
    ...more,
  };
}

const onDisk = (uri: string | undefined): string => join(volume, new URL(uri ?? '').pathname.replace('/volume', ''));

describe('trainers of other libraries, as the documentation shows them', () => {
  test('report() in a program of its own', async () => {
    await rig.create(namespace, 'report', joined(example('report'), [], { checkpoints: undefined }));
    const { status } = await rig.until(namespace, 'report', (job) => job.status?.completionTime !== undefined, 60_000);
    expect(status).toMatchObject({ phase: 'Succeeded', progress: { step: 100, totalSteps: 100 }, best: { step: 100 } });
  }, 90_000);

  test('Hugging Face: suspended in the middle, it goes on from the step that it stopped at, and the best is stored', async () => {
    const args = [join(volume, 'sft', 'model'), join(volume, 'sft', 'sft.jsonl')];
    // Long enough to be suspended in, on a fast machine, too.
    const program = example('transformers').replace('max_steps=60', 'max_steps=120');
    await rig.create(namespace, 'hugging-face', joined(program, args));
    await rig.until(namespace, 'hugging-face', ({ status }) => (status?.progress?.step ?? 0) > 1, 120_000);
    await rig.patch(namespace, 'hugging-face', { spec: { suspend: true } });
    const rests = await rig.until(namespace, 'hugging-face', ({ status }) => status?.phase === 'Suspended', 60_000);
    const stopped = rests.status?.checkpoint?.step ?? 0;
    expect(stopped).toBeGreaterThan(0);
    expect(rests.status?.progress?.totalSteps).toBe(120);
    await rig.patch(namespace, 'hugging-face', { spec: { suspend: false } });
    const done = await rig.until(namespace, 'hugging-face', (job) => job.status?.completionTime !== undefined, 120_000);
    const { status } = done;
    expect(status).toMatchObject({
      phase: 'Succeeded',
      attempt: { resumedFromStep: stopped },
      progress: { step: 120 },
    });
    expect(status?.best).toMatchObject({ verified: true });
    expect(existsSync(join(onDisk(status?.best?.uri), 'model.safetensors'))).toBe(true);
    expect(status?.metrics?.map(({ name }) => name)).toEqual(
      expect.arrayContaining(['eval/loss', 'train/loss', 'train/samples_per_second']),
    );
  }, 300_000);

  test('Lightning: evaluated as the job says, the best stored and verified', async () => {
    await rig.create(namespace, 'lightning', joined(example('lightning'), []));
    const job = await rig.until(namespace, 'lightning', ({ status }) => status?.completionTime !== undefined, 120_000);
    expect(job.status).toMatchObject({
      phase: 'Succeeded',
      progress: { step: 60, totalSteps: 60, evaluationEverySteps: 20 },
      best: { step: 60, verified: true },
    });
    expect(existsSync(join(onDisk(job.status?.best?.uri), 'lightning.ckpt'))).toBe(true);
  }, 180_000);
});
