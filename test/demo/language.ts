import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { runPython, writeLanguage } from '../rig/trainer.ts';
import type { DemoJob } from './job.ts';

/** Jobs of the demonstration that fine-tune a language model; each is an example of that name. */
export const languageJobs: readonly string[] = ['sft', 'cpt', 'dpo', 'orpo', 'rlhf'];

const ask = `
import sys
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
  return {
    manifest: parse(readFileSync(join(root, 'crds/examples/valid', `${method}.yaml`), 'utf8')) as DemoJob['manifest'],
    preparing: 'making a tiny model and rows from text that ships with Python',
    prepare: (volume) => writeLanguage(volume, method.toUpperCase()),
    result: async (folder) => [`Model: ${join(folder, 'model.safetensors')}`, ...(await evaluations(folder))],
  };
}

/** The evaluations of a finished job, and what its model says to plain transformers. */
async function evaluations(folder: string): Promise<readonly string[]> {
  const { bestStep, evaluations: all } = JSON.parse(readFileSync(join(folder, 'metrics.json'), 'utf8')) as Metrics;
  const rows = Object.entries(all).map(([step, found]) =>
    [step.padStart(6), ...['train/loss', 'eval/loss', 'eval/reward', 'score'].map((name) => number(found[name]))].join(
      '  ',
    ),
  );
  const words = await runPython(['-c', ask, folder]);
  return [
    '  step  train loss   eval loss      reward       score',
    ...rows,
    `Step ${bestStep} is best. Asked by plain transformers, its model goes on:`,
    `  ${words.trim().replaceAll('\n', ' ')}`,
  ];
}

const number = (value: number | undefined): string => (value === undefined ? '' : value.toFixed(4)).padStart(10);
