import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parse } from 'yaml';
import type { TrainingJob } from '../../controller/api/trainingjob.ts';
import type { Hub } from '../rig/hub.ts';
import { runPython, writeLanguage } from '../rig/trainer.ts';
import type { DemoJob } from './job.ts';

/** Jobs of the demonstration that fine-tune a language model; each is an example of that name. */
export const languageJobs: readonly string[] = ['sft', 'cpt', 'dpo', 'orpo', 'rlhf'];

const ask = `
import os, sys
os.environ.update(item.split("=", 1) for item in sys.argv[2:])
from transformers import AutoModelForCausalLM, AutoTokenizer
model, words = AutoModelForCausalLM.from_pretrained(sys.argv[1]), AutoTokenizer.from_pretrained(sys.argv[1])
asked = words("The statement", return_tensors="pt")
print(words.decode(model.generate(**asked, max_new_tokens=16, do_sample=False)[0], skip_special_tokens=True))
`;

interface Metrics {
  readonly bestStep: number;
  readonly evaluations: Readonly<Record<string, Readonly<Record<string, number>>>>;
}

/** The job that fine-tunes an untrained tiny model by the method of that name. */
export function languageJob(root: string, method: string): DemoJob {
  const file = join(root, 'crds/examples/valid', `${method}.yaml`);
  const manifest = parse(readFileSync(file, 'utf8')) as Pick<TrainingJob, 'spec'> & DemoJob['manifest'];
  const { spec } = manifest;
  const repo = `acme/${method}`;
  return {
    manifest,
    publishing: (hub) => ({
      ...manifest,
      spec: {
        ...spec,
        trainer: { ...spec.trainer, env: [...(spec.trainer.env ?? []), ...hubEnv(hub)] },
        output: { ...spec.output, huggingFace: { repo, secretRef: { name: 'hub' } } },
      },
    }),
    preparing: 'making a tiny model and rows from text that ships with Python',
    prepare: (volume) => writeLanguage(volume, method.toUpperCase()),
    result: async (folder, hub) => [
      `Model: ${join(folder, 'model.safetensors')}`,
      ...evaluations(folder),
      ...(await answer(hub ? repo : folder, hub)),
    ],
  };
}

function hubEnv({ url }: Hub): readonly { readonly name: string; readonly value: string }[] {
  return [
    { name: 'HF_ENDPOINT', value: url },
    // The stand-in has no storage by Xet.
    { name: 'HF_HUB_DISABLE_XET', value: '1' },
  ];
}

/** What the model says to plain transformers, which load it from a folder or from the Hub. */
async function answer(where: string, hub: Hub | undefined): Promise<readonly string[]> {
  const home = mkdtempSync(join(tmpdir(), 'trainingjob-demo-'));
  const known = hub ? [...hubEnv(hub).map(({ name, value }) => `${name}=${value}`), 'HF_TOKEN=good'] : [];
  try {
    const words = await runPython(['-c', ask, where, `HF_HOME=${home}`, ...known]);
    return [
      `Asked by plain transformers, which loaded it ${hub ? `from the Hub as ${where}` : 'there'}, it goes on:`,
      `  ${words.trim().replaceAll('\n', ' ')}`,
    ];
  } finally {
    rmSync(home, { recursive: true, force: true });
  }
}

/** The evaluations of a finished job. */
function evaluations(folder: string): readonly string[] {
  const { bestStep, evaluations: all } = JSON.parse(readFileSync(join(folder, 'metrics.json'), 'utf8')) as Metrics;
  const rows = Object.entries(all).map(([step, found]) =>
    [step.padStart(6), ...['train/loss', 'eval/loss', 'eval/reward', 'score'].map((name) => number(found[name]))].join(
      '  ',
    ),
  );
  return ['  step  train loss   eval loss      reward       score', ...rows, `Step ${bestStep} is best.`];
}

const number = (value: number | undefined): string => (value === undefined ? '' : value.toFixed(4)).padStart(10);
