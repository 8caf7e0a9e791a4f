import type { ResolvedJob } from '../api/resolve.ts';

/** Folder of one run below a URI that the user chose: neither a rerun nor another job of that name ever overwrites it. */
export function runFolder(uri: string, job: ResolvedJob, run: number): string {
  const { namespace, name, uid } = job.metadata;
  return `${uri.replace(/\/+$/, '')}/${namespace}/${name}/${uid}/${run}`;
}

/** Where the present run stores what; null where the job stores nothing of that kind. */
export function storedAt(job: ResolvedJob): { readonly checkpoints: string | null; readonly output: string | null } {
  const { checkpoints, output } = job.spec;
  const run = job.status?.run?.number ?? 1;
  return {
    checkpoints: checkpoints ? runFolder(checkpoints.uri, job, run) : null,
    output: output ? runFolder(output.uri, job, run) : null,
  };
}
