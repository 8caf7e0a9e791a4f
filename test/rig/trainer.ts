import { execFile } from 'node:child_process';
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** The Python that the trainer is installed in. */
export const python = new URL('../../.venv/bin/python', import.meta.url).pathname;

/** The trainer's image, as the simulator runs it: the agent, with one thread for each pod, as the models are tiny and the cores few. */
export const trainerImage = 'trainer:test';
export const trainerImages = { [trainerImage]: ['env', 'OMP_NUM_THREADS=1', python, '-m', 'trainingjob', 'agent'] };

/** Runs a Python program and answers what it printed. Throws where it fails. */
export async function runPython(args: readonly string[]): Promise<string> {
  return (await run(python, args)).stdout;
}

/** Writes the made-up patients of the demo as `patients.csv` into a folder, which is made where there is none. */
export async function writePatients(folder: string): Promise<void> {
  mkdirSync(folder, { recursive: true });
  await runPython(['-m', 'trainingjob.tabular.demo', '--out', join(folder, 'patients.csv')]);
}

/** Writes an untrained model, `model`, and rows for a method of fine-tuning, `METHOD.jsonl`, into a folder of the method's name. */
export async function writeLanguage(folder: string, method: string, rows = 400): Promise<void> {
  const out = join(folder, method.toLowerCase());
  await runPython(['-m', 'trainingjob.finetune.demo', '--out', out, '--method', method, '--rows', String(rows)]);
}
