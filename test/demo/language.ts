import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { runPython, writeLanguage } from '../rig/trainer.ts';

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

/** Writes an untrained model and rows for the job onto its volume. */
export const prepareLanguage = (volumeFolder: string, job: string): Promise<void> =>
  writeLanguage(volumeFolder, job.toUpperCase());

/** The evaluations of a finished job, and what its model says to plain transformers. */
export async function languageResult(folder: string): Promise<readonly string[]> {
  const { bestStep, evaluations } = JSON.parse(readFileSync(join(folder, 'metrics.json'), 'utf8')) as Metrics;
  const rows = Object.entries(evaluations).map(([step, found]) =>
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
