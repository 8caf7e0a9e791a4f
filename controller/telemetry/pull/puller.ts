import type { Logger } from 'pino';
import { Client } from 'undici';
import type { Clock } from '../../clock.ts';
import { Backoff } from '../../queue/backoff.ts';
import { mintToken, type Keyring } from '../tokens.ts';
import { parseReply, type Answer, type Question } from './question.ts';
import { nonceBytes, opened, sealed } from './seal.ts';
import type { Asker } from './served.ts';

/** The attempt whose pod is called. */
export interface PullTarget {
  readonly uid: string;
  readonly attempt: number;
  readonly nonce: string;
  readonly podID: string;
}

/**
 * How a call of a pod went. `question`: it brought one; `idle`: there was none for as long as a call waits; `unreachable`: no
 * answer, or one of the proxy; `refused`: whoever answered does not know the token; `invalid`: neither does its answer.
 */
export type PullResult = 'question' | 'idle' | 'unreachable' | 'refused' | 'invalid';

export interface PullOptions {
  /** Where the agent's port of a pod is reached from here. */
  readonly address: (podID: string) => string;
  readonly keyring: Keyring;
  readonly clock: Clock;
  readonly log: Logger;
  /** Answers a question as if the agent had come with it. */
  readonly serve: (question: Question, asker: Asker) => Promise<Answer>;
  /** Whether this process still leads (I15). */
  readonly leads: () => boolean;
  readonly observe?: (result: PullResult) => void;
  readonly waitSeconds?: number;
}

/** Runpod's proxy cuts a request after 100 s; a shorter wait also finds a connection that died unseen. */
const defaultWaitSeconds = 25;
const answerSlackMs = 15_000;
/** More than the telemetry server takes of a batch, which then says so. */
const mostReplyBytes = 2 * 1024 * 1024;

type Turn =
  | { readonly result: 'question'; readonly question: Question; readonly token: string }
  | { readonly result: Exclude<PullResult, 'question'>; readonly detail: string };

/**
 * Calls one pod, again and again: each call brings the answer to the last question and takes the next. The agent shows a
 * question until it is answered, and an answer is that of the durable store, so a call that is lost, or a process that dies
 * between two, loses and doubles nothing (I7). One connection, as calls follow each other.
 */
export class Puller {
  readonly #target: PullTarget;
  readonly #options: PullOptions;
  readonly #ended = new AbortController();
  readonly #backoff = new Backoff({ minMs: 200, maxMs: 5000 });
  /** Keys that the pod's token may be of; the first is tried until it is refused. */
  #keyIDs: readonly string[];
  #last: PullResult | undefined;
  #call: AbortController | undefined;
  readonly #running: Promise<void>;

  constructor(target: PullTarget, options: PullOptions) {
    this.#target = target;
    this.#options = options;
    const { current, keys } = options.keyring;
    this.#keyIDs = [current, ...Object.keys(keys).filter((keyID) => keyID !== current)];
    this.#running = this.#run();
  }

  calls({ attempt, nonce, podID }: PullTarget): boolean {
    return attempt === this.#target.attempt && nonce === this.#target.nonce && podID === this.#target.podID;
  }

  /** Resolves when nothing is under way any more. */
  end(): Promise<void> {
    this.#ended.abort();
    this.#call?.abort();
    return this.#running;
  }

  async #run(): Promise<void> {
    const { address, clock, log, leads } = this.#options;
    const { signal } = this.#ended;
    let url: URL;
    try {
      url = new URL(`${address(this.#target.podID)}/v1/turn`);
    } catch (error) {
      log.error({ ...this.#target, error: String(error) }, 'this pod cannot be called');
      return;
    }
    const client = new Client(url.origin, { connect: { timeout: 10_000 }, maxResponseSize: mostReplyBytes });
    let answer: Answer | null = null;
    while (!signal.aborted && leads()) {
      const turn = await this.#turn(client, url.pathname, answer);
      if (signal.aborted) break;
      this.#note(turn);
      if (turn.result === 'question') answer = await this.#answer(turn.question, turn.token);
      // A pod that was not reached may not have got the last answer: it goes along with the next call.
      else if (turn.result === 'idle') answer = null;
      if (turn.result === 'idle' || (turn.result === 'question' && answer)) this.#backoff.forget('');
      else await clock.sleep(this.#backoff.next(''), signal);
      // Who asks too often is made to wait, as it would not by itself.
      if (turn.result === 'question' && answer?.status === 429) await clock.sleep(1000, signal);
    }
    await client.destroy();
  }

  /** One call. The nonce of its message is in the proof of the reply, so no reply of before is taken for this one's. */
  async #turn(client: Client, path: string, answer: Answer | null): Promise<Turn> {
    const { clock, waitSeconds = defaultWaitSeconds } = this.#options;
    const token = this.#token();
    const message = sealed(token, 'operator', Buffer.alloc(0), Buffer.from(JSON.stringify({ answer, waitSeconds })));
    const call = new AbortController();
    this.#call = call;
    const cancel = clock.after(waitSeconds * 1000 + answerSlackMs, () => call.abort(new Error('no answer in time')));
    try {
      const { statusCode, body } = await client.request({
        method: 'POST',
        path,
        headers: { 'content-type': 'application/octet-stream' },
        body: message,
        signal: call.signal,
      });
      const reply = Buffer.from(await body.arrayBuffer());
      if (statusCode === 401) {
        this.#keyIDs = [...this.#keyIDs.slice(1), ...this.#keyIDs.slice(0, 1)];
        return { result: 'refused', detail: 'the pod does not take the token of this attempt' };
      }
      if (statusCode !== 200) return { result: 'unreachable', detail: `status ${statusCode}` };
      const text = opened(token, 'agent', message.subarray(0, nonceBytes), reply);
      const question = text && parseReply(text.toString('utf8'));
      if (question === undefined) return { result: 'invalid', detail: 'what answers does not know the token' };
      return question ? { result: 'question', question, token } : { result: 'idle', detail: '' };
    } catch (error) {
      return { result: 'unreachable', detail: error instanceof Error ? error.message : String(error) };
    } finally {
      cancel();
    }
  }

  async #answer(question: Question, token: string): Promise<Answer | null> {
    const { uid, attempt } = this.#target;
    try {
      return await this.#options.serve(question, { uid, attempt, token });
    } catch (error) {
      // Unanswered, it is shown again.
      this.#options.log.error({ ...this.#target, error: String(error) }, 'a question that was pulled was not answered');
      return null;
    }
  }

  #token(): string {
    const { uid, attempt, nonce } = this.#target;
    const { keys, current } = this.#options.keyring;
    return mintToken({ current: this.#keyIDs[0] ?? current, keys }, uid, attempt, nonce);
  }

  #note(turn: Turn): void {
    const { observe, log } = this.#options;
    observe?.(turn.result);
    const well = turn.result === 'question' || turn.result === 'idle';
    const before = this.#last === undefined ? undefined : this.#last === 'question' || this.#last === 'idle';
    // Told when it changes: a pod that is not there yet would fill the log.
    if (!well && this.#last !== turn.result) {
      log.info({ ...this.#target, result: turn.result, detail: turn.detail }, 'a pod does not answer');
    } else if (well && before !== true) log.info(this.#target, 'a pod answers');
    this.#last = turn.result;
  }
}
