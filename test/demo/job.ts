import type { Hub } from '../rig/hub.ts';
import { languageJob, languageJobs } from './language.ts';
import { tableJob, type Size } from './table.ts';

/** What `make demo` runs. */
export interface DemoJob {
  readonly manifest: Manifest;
  /** The same job, which publishes its model at a stand-in of the Hugging Face Hub as well, with the token of the Secret `hub`. */
  readonly publishing?: (hub: Hub) => Manifest;
  /** What `prepare` does, as told to the user. */
  readonly preparing: string;
  /** Writes what the job reads onto its volume. */
  readonly prepare: (volumeFolder: string) => Promise<void>;
  /** Lines that name the model in the output's folder, or where it was published, and tell how good it is. */
  readonly result: (folder: string, hub?: Hub) => Promise<readonly string[]>;
}

/** Of which the demo knows no more than the name. */
export interface Manifest {
  readonly metadata: { readonly name: string };
}

/** The job that JOB and TYPE name; throws with what to write instead. */
export function demoJob(root: string, kind: string, modelType: string | undefined, size: Size): DemoJob {
  if (kind === 'tabular') return tableJob(root, modelType, size);
  if (!languageJobs.includes(kind)) throw new Error(`JOB is "${kind}"; write tabular, ${languageJobs.join(', ')}`);
  if (modelType !== undefined) throw new Error(`TYPE is "${modelType}", and types are for JOB=tabular; leave one out`);
  if (size.rows !== undefined || size.rounds !== undefined)
    throw new Error(`ROWS and ROUNDS are for JOB=tabular; leave them out, or JOB=${kind}`);
  return languageJob(root, kind);
}
