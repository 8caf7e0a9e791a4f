import { createHash } from 'node:crypto';
import type { Clock } from '../clock.ts';
import type { KubeClient } from './client.ts';
import { KubeError } from './errors.ts';
import { subjectAccessReviews, tokenReviews, trainingJobs } from './resources.ts';

export type Access = 'allowed' | 'denied' | 'unauthenticated';

export interface JobName {
  readonly namespace: string;
  readonly name: string;
}

interface User {
  readonly username?: string;
  readonly uid?: string;
  readonly groups?: readonly string[];
  readonly extra?: Readonly<Record<string, readonly string[]>>;
}

interface Kept {
  readonly askedAtMs: number;
  readonly access: Promise<Access>;
}

/**
 * Whether the bearer of a Kubernetes token may read a job, by the API server's own word. Answers are kept for a short time
 * under a hash, so that no token stays in memory and a permission that was taken away ends soon.
 */
export class JobAuthorizer {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #keepMs: number;
  readonly #mostKept: number;
  readonly #mostAsking: number;
  readonly #kept = new Map<string, Kept>();
  #asking = 0;

  constructor(
    client: KubeClient,
    clock: Clock,
    options: { readonly keepMs?: number; readonly mostKept?: number; readonly mostAsking?: number } = {},
  ) {
    this.#client = client;
    this.#clock = clock;
    this.#keepMs = options.keepMs ?? 30_000;
    this.#mostKept = options.mostKept ?? 10_000;
    // Strangers' tokens must not take the connections that the reconcile loop needs.
    this.#mostAsking = options.mostAsking ?? 8;
  }

  /** Throws a KubeError when the API server cannot be asked; such a failure is not kept. */
  authorize(token: string, job: JobName): Promise<Access> {
    // What no token can be never reaches the API server.
    if (!/^[\x21-\x7e]{1,16384}$/.test(token)) return Promise.resolve('unauthenticated');
    const nowMs = this.#clock.monotonic();
    for (const [id, kept] of this.#kept) {
      if (nowMs - kept.askedAtMs < this.#keepMs && this.#kept.size < this.#mostKept) break;
      this.#kept.delete(id);
    }
    const id = createHash('sha256').update(`${token}\n${job.namespace}\n${job.name}`).digest('base64');
    const kept = this.#kept.get(id);
    if (kept) return kept.access;
    if (this.#asking >= this.#mostAsking) {
      return Promise.reject(new KubeError('tooManyRequests', 'too many tokens are being asked about; try again'));
    }
    this.#asking += 1;
    const access = this.#ask(token, job)
      .catch((error: unknown) => {
        if (this.#kept.get(id)?.access === access) this.#kept.delete(id);
        throw error;
      })
      .finally(() => {
        this.#asking -= 1;
      });
    this.#kept.set(id, { askedAtMs: nowMs, access });
    return access;
  }

  async #ask(token: string, job: JobName): Promise<Access> {
    const review = await this.#client.create<{ status?: { authenticated?: boolean; user?: User } }>(
      tokenReviews,
      undefined,
      {
        apiVersion: 'authentication.k8s.io/v1',
        kind: 'TokenReview',
        spec: { token },
      },
    );
    const user = review.status?.user;
    if (review.status?.authenticated !== true || user?.username === undefined) return 'unauthenticated';
    const answer = await this.#client.create<{ status?: { allowed?: boolean } }>(subjectAccessReviews, undefined, {
      apiVersion: 'authorization.k8s.io/v1',
      kind: 'SubjectAccessReview',
      spec: {
        user: user.username,
        ...(user.uid !== undefined && { uid: user.uid }),
        ...(user.groups && { groups: user.groups }),
        ...(user.extra && { extra: user.extra }),
        resourceAttributes: {
          verb: 'get',
          group: trainingJobs.group,
          version: trainingJobs.version,
          resource: trainingJobs.plural,
          namespace: job.namespace,
          name: job.name,
        },
      },
    });
    return answer.status?.allowed === true ? 'allowed' : 'denied';
  }
}
