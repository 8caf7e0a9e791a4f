import pino from 'pino';
import { describe, expect, test } from 'vitest';
import { RunpodError } from '../../controller/runpod/errors.ts';
import { LogTail, type LogTailOptions } from '../../controller/runpod/logtail.ts';
import { ManualClock } from './manualclock.ts';

const event = (line: string, source = 'container'): string =>
  `id: 2026-03-01T12:00:00Z\ndata: ${JSON.stringify({ ts: '2026-03-01T12:00:00Z', source, line })}\n\n`;

interface Desk {
  readonly clock: ManualClock;
  /** Reads a pod's log while time passes; gives the lines and the milliseconds that it took. */
  readonly read: (podID?: string) => Promise<{ lines: readonly string[]; ms: number }>;
  opened: number;
}

function desk(open: LogTailOptions['open']): Desk {
  const clock = new ManualClock();
  const result: Desk = { clock, opened: 0, read };
  const logs = new LogTail({
    open: (...request) => {
      result.opened += 1;
      return open(...request);
    },
    clock,
    log: pino({ enabled: false }),
  });
  async function read(podID = 'pod1'): Promise<{ lines: readonly string[]; ms: number }> {
    const startedMs = clock.monotonic();
    const over: { lines: readonly string[]; ms: number }[] = [];
    void logs.read(podID).then((lines) => over.push({ lines, ms: clock.monotonic() - startedMs }));
    for (let passed = 0; over.length === 0 && passed < 10_000; passed += 50) await clock.pass(50);
    const [first] = over;
    if (!first) throw new Error('the read did not end');
    return first;
  }
  return result;
}

/** The stream of a log that stays open, as Runpod's does. */
function stream(...chunks: readonly string[]): LogTailOptions['open'] {
  return async function* open(_podID, _lines, signal) {
    yield '';
    yield* chunks;
    await aborted(signal);
  };
}

async function aborted(signal: AbortSignal): Promise<void> {
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }));
}

describe('the last lines of a log', () => {
  test('come at once when there are enough, from a stream that never ends', async () => {
    const lines = Array.from({ length: 25 }, (_, index) => `line ${index}`);
    const { read } = desk(stream(lines.map((line) => event(line)).join('')));
    expect(await read()).toEqual({ lines: lines.slice(5), ms: 0 });
  });

  test('are taken for all when nothing more comes for a second', async () => {
    const { read } = desk(stream(event('boom')));
    const { lines, ms } = await read();
    expect(lines).toEqual(['boom']);
    expect(ms).toBeLessThanOrEqual(1050);
  });

  test('are none where the log is empty', async () => {
    expect((await desk(stream()).read()).lines).toEqual([]);
  });

  test('an event may come in pieces, and one that is not complete is left out', async () => {
    const [whole, half] = [event('one'), event('two')];
    const { read } = desk(stream(whole.slice(0, 20), whole.slice(20), half.slice(0, -9)));
    expect((await read()).lines).toEqual(['one']);
  });

  test("the host's lines are marked, control characters and empty lines go", async () => {
    const { read } = desk(
      stream(event('pulling', 'system'), event('\u001b[31mred\u001b[0m\tx\u0007'), event('   '), event('')),
    );
    expect((await read()).lines).toEqual(['system: pulling', 'red x']);
  });

  test('what is no event is passed over', async () => {
    const { read } = desk(
      stream(': ping\n\n', 'data: {"line": 3}\n\n', 'data: null\n\n', 'data: oops\n\n', event('x')),
    );
    expect((await read()).lines).toEqual(['x']);
  });

  test('a stream that breaks off gives what came', async () => {
    const { read } = desk(async function* broken() {
      yield event('last');
      throw new RunpodError('transient', 'cut');
    });
    expect((await read()).lines).toEqual(['last']);
  });
});

describe('a pod bills while its log is read', () => {
  const hanging: LogTailOptions['open'] = async function* hang() {
    await new Promise(() => undefined);
    yield '';
  };

  test('a log without an answer is waited for two seconds, and not asked for again for a minute', async () => {
    const hung = desk(hanging);
    expect(await hung.read()).toMatchObject({ lines: [] });
    expect(hung.clock.monotonic()).toBeLessThanOrEqual(2050);
    expect(await hung.read('pod2')).toEqual({ lines: [], ms: 0 });
    expect(hung.opened).toBe(1);
    await hung.clock.pass(60_000);
    await hung.read('pod2');
    expect(hung.opened).toBe(2);
  });

  test('a log that talks without end is left after two seconds', async () => {
    const clocked: { clock?: ManualClock } = {};
    const chatty = desk(async function* talk() {
      for (;;) {
        yield ': still here\n\n';
        await clocked.clock?.sleep(100);
      }
    });
    clocked.clock = chatty.clock;
    expect((await chatty.read()).ms).toBeLessThanOrEqual(2050);
  });

  test('megabytes are not kept', async () => {
    const { read } = desk(stream(...Array.from({ length: 100 }, () => `: ${'x'.repeat(10_000)}\n\n`)));
    expect(await read()).toEqual({ lines: [], ms: 0 });
  });

  test('two at a time: a third pod is ended without', async () => {
    const both = desk(hanging);
    const reads = [both.read('a'), both.read('b')];
    expect(await both.read('c')).toMatchObject({ lines: [] });
    expect(both.opened).toBe(2);
    await Promise.all(reads);
  });

  test.each([
    ['a server error keeps the next from asking', new RunpodError('transient', '502'), 1],
    ['a pod that is gone says nothing of others', new RunpodError('notFound', 'no such pod'), 2],
    ['a rate limit with nothing to spare neither', new RunpodError('rateLimited', 'none'), 2],
  ])('%s', async (_, error, opened) => {
    const failing = desk(() => {
      throw error;
    });
    await failing.read('a');
    expect(await failing.read('b')).toEqual({ lines: [], ms: 0 });
    expect(failing.opened).toBe(opened);
  });
});
