/** Names of Runpod pods: all that survives of our identity when a create's answer is lost. */

export interface PodIdentity {
  readonly installation: string;
  /** First twelve hexadecimal digits of the job's uid. */
  readonly uid12: string;
  readonly attempt: number;
  readonly nonce: string;
}

const pattern = /^tj-([a-z0-9]{6})-([0-9a-f]{12})-a([1-9][0-9]{0,9})-([a-z0-9]{4})-([a-z0-9-]{1,20})$/;

export function uid12(uid: string): string {
  return uid.replaceAll('-', '').slice(0, 12);
}

/** `tj-{installation6}-{uid12}-a{attempt}-{nonce4}-{slug}`; the slug is for people and is never read back. */
export function podName(identity: PodIdentity, jobName: string): string {
  const slug = jobName
    .toLowerCase()
    .replaceAll(/[^a-z0-9-]+/g, '-')
    .slice(0, 20)
    .replaceAll(/^-+|-+$/g, '');
  return `tj-${identity.installation}-${identity.uid12}-a${identity.attempt}-${identity.nonce}-${slug === '' ? 'job' : slug}`;
}

/** The identity in a pod's name, or undefined when the name is not one of any installation of this operator. */
export function parsePodName(name: string): PodIdentity | undefined {
  const match = pattern.exec(name);
  if (!match) return undefined;
  const [, installation = '', uid = '', attempt = '', nonce = ''] = match;
  return { installation, uid12: uid, attempt: Number(attempt), nonce };
}
