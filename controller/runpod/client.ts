import { Agent, request } from 'undici';
import type { Clock } from '../clock.ts';
import { parseCloudPod, type CloudPod, type CreateCloudPodBody } from './cloudpod.ts';
import { RunpodError, runpodError } from './errors.ts';
import type { PermitClass, Quota } from './quota.ts';

export interface GpuPrice {
  readonly id: string;
  /** USD per hour for one GPU. */
  readonly secure: number;
  readonly community: number;
}

export interface CpuPrice {
  readonly id: string;
  /** USD per hour for one vCPU. */
  readonly perVcpu: number;
}

export interface RunpodObserver {
  request(operation: string, code: string, seconds: number): void;
}

export interface RunpodClientOptions {
  readonly baseUrl: string;
  /** Asked for with each call, so that a rotated key is taken up. */
  readonly apiKey: () => string | Promise<string>;
  readonly quota: Quota;
  readonly clock: Clock;
  /** Most time for a call, and before it for the wait until the rate limit allows it. */
  readonly timeoutMs: number;
  /** A longer answer is none of Runpod's. */
  readonly maxAnswerBytes?: number;
  /** Asked right before each create and terminate is sent; a permit may have been waited for long (I15). */
  readonly mayWrite?: () => boolean;
  readonly observe?: RunpodObserver;
}

interface Call {
  readonly operation: string;
  readonly permit: PermitClass;
  readonly method: 'GET' | 'POST' | 'DELETE';
  readonly path: string;
  readonly body?: unknown;
}

interface Answer {
  readonly status: number;
  readonly contentType: string;
  readonly body: string;
}

/** The calls to Runpod's API v2 that the operator makes. Every failure is a RunpodError. */
export class RunpodClient {
  readonly #options: RunpodClientOptions;
  readonly #agent: Agent;

  constructor(options: RunpodClientOptions) {
    this.#options = options;
    // One request at a time on a connection: a create that was written to one that breaks fails, it is never sent again.
    this.#agent = new Agent({
      connections: 16,
      pipelining: 1,
      keepAliveTimeout: 30_000,
      connect: { timeout: 10_000 },
      maxResponseSize: options.maxAnswerBytes ?? 64 * 1024 * 1024,
    });
  }

  /** Rents a pod. Any failure that is not a definite refusal has kind `unknownOutcome`: a pod may have been made. */
  async createCloudPod(body: CreateCloudPodBody): Promise<CloudPod> {
    const answer = await this.#send({ operation: 'create', permit: 'create', method: 'POST', path: '/v2/pods', body });
    try {
      return parseCloudPod(JSON.parse(answer.body));
    } catch (error) {
      throw new RunpodError('unknownOutcome', `the create's answer cannot be read: ${words(error)}`, {
        status: answer.status,
      });
    }
  }

  /** All pods of the account but those of clusters. */
  async listCloudPods(): Promise<readonly CloudPod[]> {
    const list = await this.#json({ operation: 'list', permit: 'list', method: 'GET', path: '/v2/pods' });
    return array(list, 'pods').map(parseCloudPod);
  }

  /** Ends a pod for good. That Runpod accepts it is not a proof that it is gone. */
  async deleteCloudPod(id: string): Promise<void> {
    await this.#send({
      operation: 'terminate',
      permit: 'terminate',
      method: 'DELETE',
      path: `/v2/pods/${encodeURIComponent(id)}`,
    });
  }

  async listGpuPrices(): Promise<readonly GpuPrice[]> {
    const list = await this.#json({ operation: 'gpus', permit: 'catalog', method: 'GET', path: '/v2/catalog/gpus' });
    return array(list, 'gpus').map((entry) => {
      const { id, price } = entry as { id?: unknown; price?: { secure?: unknown; community?: unknown } };
      return {
        id: String(id),
        secure: number(price?.secure, 'price.secure'),
        community: number(price?.community, 'price.community'),
      };
    });
  }

  async listCpuPrices(): Promise<readonly CpuPrice[]> {
    const list = await this.#json({ operation: 'cpus', permit: 'catalog', method: 'GET', path: '/v2/catalog/cpus' });
    return array(list, 'cpus').map((entry) => {
      const { id, price } = entry as { id?: unknown; price?: { securePerVcpu?: unknown } };
      return { id: String(id), perVcpu: number(price?.securePerVcpu, 'price.securePerVcpu') };
    });
  }

  /**
   * What Runpod logged of a pod, as text of server-sent events: its last `lines` lines, then each as it comes, until `signal` is
   * aborted; an empty text first, when the answer begins. Not sent unless the rate limit has requests to spare.
   */
  async *podLog(id: string, lines: number, signal: AbortSignal): AsyncGenerator<string> {
    const { clock, quota, observe, apiKey, baseUrl } = this.#options;
    if (!quota.spare()) throw new RunpodError('rateLimited', "Runpod's rate limit has no request to spare for a log");
    const startedMs = clock.monotonic();
    let code = 'error';
    try {
      const response = await request(new URL(`/v2/pods/${encodeURIComponent(id)}/logs?tail=${lines}`, baseUrl), {
        dispatcher: this.#agent,
        signal,
        headers: { authorization: `Bearer ${await apiKey()}`, accept: 'text/event-stream' },
      });
      code = String(response.statusCode);
      const header = (name: string): string | undefined => response.headers[name]?.toString();
      quota.learn(header('ratelimit'), header('ratelimit-policy'));
      if (response.statusCode !== 200) {
        const error = runpodError(
          {
            status: response.statusCode,
            contentType: header('content-type') ?? '',
            body: await response.body.text(),
            retryAfter: header('retry-after'),
          },
          true,
        );
        if (error.status === 429) quota.blocked(error.retryAfterMs ?? 0);
        throw error;
      }
      yield '';
      response.body.setEncoding('utf8');
      for await (const text of response.body as AsyncIterable<string>) yield text;
    } catch (error) {
      throw error instanceof RunpodError ? error : new RunpodError('transient', `the log broke off: ${words(error)}`);
    } finally {
      observe?.request('logs', code, (clock.monotonic() - startedMs) / 1000);
      quota.ended();
    }
  }

  close(): Promise<void> {
    return this.#agent.destroy();
  }

  async #json(call: Call): Promise<unknown> {
    const answer = await this.#send(call);
    try {
      return JSON.parse(answer.body);
    } catch {
      throw new RunpodError('malformed', `the answer to ${call.operation} is not JSON`, { status: answer.status });
    }
  }

  async #send(call: Call): Promise<Answer> {
    const { quota } = this.#options;
    await this.#permit(call);
    try {
      return await this.#exchange(call);
    } finally {
      quota.ended();
    }
  }

  /** A call that the rate limit holds back is not sent late: its job may have been deleted meanwhile. */
  async #permit(call: Call): Promise<void> {
    const { clock, quota, timeoutMs } = this.#options;
    const waited = new AbortController();
    const cancel = clock.after(timeoutMs, () => waited.abort());
    try {
      await quota.permit(call.permit, waited.signal);
    } catch {
      throw new RunpodError(
        'rateLimited',
        `Runpod's rate limit left no request for ${call.operation}; it was not sent`,
      );
    } finally {
      cancel();
    }
  }

  async #exchange(call: Call): Promise<Answer> {
    const { clock, quota, observe, timeoutMs, apiKey, baseUrl, mayWrite } = this.#options;
    // Reading a key may take long, so whether we lead is asked after it.
    const key = await apiKey();
    if (call.method !== 'GET' && mayWrite?.() === false)
      throw new RunpodError('transient', `${call.operation} was not sent: this process does not lead any more`);
    const startedMs = clock.monotonic();
    const seen = (code: string): void => observe?.request(call.operation, code, (clock.monotonic() - startedMs) / 1000);
    const repeatable = call.method !== 'POST';
    const timeout = new AbortController();
    const cancel = clock.after(timeoutMs, () => timeout.abort(new Error(`no answer within ${timeoutMs / 1000} s`)));
    try {
      const response = await request(new URL(call.path, baseUrl), {
        method: call.method,
        dispatcher: this.#agent,
        signal: timeout.signal,
        headers: {
          authorization: `Bearer ${key}`,
          accept: 'application/json',
          ...(call.body !== undefined && { 'content-type': 'application/json' }),
        },
        ...(call.body !== undefined && { body: JSON.stringify(call.body) }),
      });
      const header = (name: string): string | undefined => response.headers[name]?.toString();
      const body = await response.body.text();
      quota.learn(header('ratelimit'), header('ratelimit-policy'));
      seen(String(response.statusCode));
      const contentType = header('content-type') ?? '';
      if (response.statusCode >= 200 && response.statusCode < 300)
        return { status: response.statusCode, contentType, body };
      const error = runpodError(
        { status: response.statusCode, contentType, body, retryAfter: header('retry-after') },
        repeatable,
      );
      if (error.status === 429) quota.blocked(error.retryAfterMs ?? 0);
      throw error;
    } catch (error) {
      if (error instanceof RunpodError) throw error;
      seen('error');
      throw new RunpodError(repeatable ? 'transient' : 'unknownOutcome', `Runpod gave no answer: ${words(error)}`);
    } finally {
      cancel();
    }
  }
}

function array(value: unknown, member: string): readonly unknown[] {
  const inner = value !== null && typeof value === 'object' ? (value as Record<string, unknown>)[member] : undefined;
  if (!Array.isArray(inner)) throw new RunpodError('malformed', `the answer has no list "${member}"`);
  return inner;
}

function number(value: unknown, member: string): number {
  if (typeof value !== 'number' || !Number.isFinite(value))
    throw new RunpodError('malformed', `the catalog has no number "${member}"`);
  return value;
}

function words(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
