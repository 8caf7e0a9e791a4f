import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { python } from '../rig/trainer.ts';
import type { DemoJob } from './job.ts';
import { modelTypes } from './modeltypes.ts';
import { comparison } from './result.ts';

/** Bundled sets that a task is shown with, each with its target; the first is the demo's. */
export const dataOf: Readonly<Record<string, readonly (readonly [data: string, target: string])[]>> = {
  regression: [['diabetes', 'progression']],
  binary_classification: [['breast_cancer', 'benign']],
  multiclass_classification: [
    ['wine', 'grower'],
    ['digits', 'digit'],
  ],
};

const modelFiles: Readonly<Record<string, string>> = {
  xgboost: 'model.json',
  lightgbm: 'model.txt',
  catboost: 'model.cbm',
  random_forest: 'model.skops',
  svm: 'model.skops',
  keras: 'model.keras',
};

/** The parameter that says how many steps there are, where it is not `nEstimators`. */
const stepsOf: Readonly<Record<string, string>> = { catboost: 'iterations', keras: 'epochs' };

export function splitType(modelType: string): { readonly family: string; readonly task: string } {
  const task = Object.keys(dataOf).find((name) => modelType.endsWith(`_${name}`)) ?? '';
  return { family: modelType.slice(0, -task.length - 1), task };
}

interface Manifest {
  readonly metadata: { name: string };
  readonly spec: { trainer: { tabular: Record<string, unknown> } };
}

/** How long a table and its training are; as they are bundled when undefined. */
export interface Size {
  readonly rows: number | undefined;
  readonly rounds: number | undefined;
}

/** The tabular job of a type, the demo's own when undefined. Throws with what to write instead. */
export function tableJob(root: string, modelType: string | undefined, { rows, rounds }: Size): DemoJob {
  const manifest = parse(readFileSync(join(root, 'crds/examples/valid/demo.yaml'), 'utf8')) as Manifest;
  const { tabular } = manifest.spec.trainer;
  let file = 'diabetes.csv';
  let data = 'above_median';
  let family = 'xgboost';
  if (modelType !== undefined) {
    const known = modelTypes(root);
    if (!known.includes(modelType)) throw new Error(`TYPE is "${modelType}"; write one of ${known.join(', ')}`);
    const parts = splitType(modelType);
    const [name, target] = dataOf[parts.task]?.[0] ?? ['', ''];
    [file, data, family] = [`${name}.csv`, name, parts.family];
    manifest.metadata.name = modelType.replaceAll('_', '-');
    manifest.spec.trainer.tabular = {
      modelType,
      dataset: { source: `file:///volume/data/${file}` },
      target,
      parameters: family === 'catboost' ? { iterations: 200 } : {},
    };
  }
  if (rounds !== undefined) {
    const steps = stepsOf[family] ?? 'nEstimators';
    const chosen = manifest.spec.trainer.tabular;
    chosen['parameters'] = { ...((chosen['parameters'] ?? tabular['parameters']) as object), [steps]: rounds };
  }
  const more = rows === undefined ? [] : ['--rows', String(rows)];
  return {
    manifest,
    preparing: rows === undefined ? `writing scikit-learn's data as ${file}` : `generating ${rows} rows as ${file}`,
    prepare(volume) {
      const out = join(volume, 'data', file);
      execFileSync(python, ['-m', 'trainingjob.tabular.demo', '--out', out, '--data', data, ...more]);
      return Promise.resolve();
    },
    result: (folder) =>
      Promise.resolve([
        `Model: ${join(folder, modelFiles[family] ?? '')}`,
        `Report: ${join(folder, 'report.html')}`,
        ...comparison(folder),
      ]),
  };
}
