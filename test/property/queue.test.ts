import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { priorities, WorkQueue, type Priority } from '../../controller/queue/workqueue.ts';
import { ManualClock } from '../unit/manualclock.ts';
import { explore } from './runs.ts';

explore(400);

/** What a work queue is, said as plainly as possible: slow, and obviously right. */
class Model {
  nowMs = 0;
  order = 0;
  readonly ready = new Map<string, { priority: number; order: number }>();
  readonly delayed = new Map<string, { dueMs: number; priority: Priority }>();
  readonly working = new Set<string>();
  readonly again = new Map<string, Priority>();

  add(key: string, priority: Priority): void {
    this.delayed.delete(key);
    if (this.working.has(key)) {
      this.again.set(key, Math.max(priority, this.again.get(key) ?? 0) as Priority);
      return;
    }
    const old = this.ready.get(key);
    if (!old || old.priority < priority) this.ready.set(key, { priority, order: (this.order += 1) });
  }

  addAfter(key: string, ms: number, priority: Priority): void {
    if (ms <= 0) return this.add(key, priority);
    const old = this.delayed.get(key);
    if (!old || old.dueMs > this.nowMs + ms) this.delayed.set(key, { dueMs: this.nowMs + ms, priority });
  }

  take(): string | undefined {
    const [first] = [...this.ready].toSorted(([, a], [, b]) => b.priority - a.priority || a.order - b.order);
    if (!first) return undefined;
    this.ready.delete(first[0]);
    this.working.add(first[0]);
    return first[0];
  }

  done(key: string): void {
    if (!this.working.delete(key)) return;
    const priority = this.again.get(key);
    this.again.delete(key);
    if (priority !== undefined) this.add(key, priority);
  }

  advance(ms: number): void {
    const untilMs = this.nowMs + ms;
    for (;;) {
      const [next] = [...this.delayed]
        .filter(([, { dueMs }]) => dueMs <= untilMs)
        .toSorted((a, b) => a[1].dueMs - b[1].dueMs);
      if (!next) break;
      this.nowMs = next[1].dueMs;
      this.delayed.delete(next[0]);
      this.add(next[0], next[1].priority);
    }
    this.nowMs = untilMs;
  }
}

const key = fc.constantFrom('a', 'b', 'c');
const priority = fc.constantFrom<Priority>(priorities.list, priorities.change, priorities.urgent);
const commands = fc.array(
  fc.oneof(
    fc.record({ do: fc.constant('add' as const), key, priority }),
    // No two delays end in the same instant: which of them would be first is nobody's business.
    fc.record({ do: fc.constant('addAfter' as const), key, priority, ms: fc.integer({ min: -5, max: 200 }) }),
    fc.record({ do: fc.constant('take' as const) }),
    fc.record({ do: fc.constant('done' as const), key }),
    fc.record({ do: fc.constant('advance' as const), ms: fc.integer({ min: 1, max: 120 }) }),
  ),
  { maxLength: 60 },
);

test('does what the model does: each key once, one worker per key, higher first, the soonest delay', async () => {
  await fc.assert(
    fc.asyncProperty(commands, async (steps) => {
      const clock = new ManualClock();
      const queue = new WorkQueue(clock);
      const model = new Model();
      let salt = 0;
      for (const step of steps) {
        switch (step.do) {
          case 'add':
            queue.add(step.key, step.priority);
            model.add(step.key, step.priority);
            break;
          case 'addAfter': {
            const ms = step.ms <= 0 ? step.ms : step.ms + (salt += 1) / 1000;
            queue.addAfter(step.key, ms, step.priority);
            model.addAfter(step.key, ms, step.priority);
            break;
          }
          case 'take': {
            const expected = model.take();
            if (expected === undefined) expect(queue.size).toBe(0);
            else expect(await queue.take()).toBe(expected);
            break;
          }
          case 'done':
            queue.done(step.key);
            model.done(step.key);
            break;
          case 'advance':
            clock.advance(step.ms);
            model.advance(step.ms);
            break;
        }
        expect(queue.size).toBe(model.ready.size);
        expect(clock.pending).toBe(model.delayed.size);
      }
      queue.close();
      expect([queue.size, clock.pending]).toEqual([0, 0]);
      expect(await queue.take()).toBeUndefined();
    }),
  );
});

test('workers that wait never share a key, and each key that was added is worked on', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.array(fc.tuple(key, priority), { maxLength: 40 }),
      fc.integer({ min: 1, max: 4 }),
      async (adds, workers) => {
        const queue = new WorkQueue(new ManualClock());
        const busy = new Set<string>();
        const seen = new Map<string, number>();
        const crew = Array.from({ length: workers }, async () => {
          for (let taken = await queue.take(); taken !== undefined; taken = await queue.take()) {
            expect(busy.has(taken)).toBe(false);
            busy.add(taken);
            await Promise.resolve();
            busy.delete(taken);
            seen.set(taken, (seen.get(taken) ?? 0) + 1);
            queue.done(taken);
          }
        });
        const last = new Map<string, number>();
        for (const [added, level] of adds) {
          queue.add(added, level);
          last.set(added, seen.get(added) ?? 0);
          await Promise.resolve();
        }
        for (let turns = 0; turns < 500 && (queue.size > 0 || busy.size > 0); turns += 1) await Promise.resolve();
        queue.close();
        await Promise.all(crew);
        // Worked on at least once after its last add.
        for (const [added, before] of last) expect(seen.get(added) ?? 0).toBeGreaterThan(before);
        expect([...seen.keys()].toSorted()).toEqual([...last.keys()].toSorted());
      },
    ),
  );
});
