import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { isGone } from '../../controller/runpod/gone.ts';
import type { InventoryView, ListRecord } from '../../controller/runpod/inventory.ts';

function list(startedAt: number, live: readonly string[] = [], believed = true): ListRecord {
  return { startedAt, completedAt: startedAt + 1, believed, live: new Set(live) };
}

function view(...lists: readonly ListRecord[]): InventoryView {
  return { pods: [], lists, error: undefined, suspicious: false };
}

const pod = { podID: 'id', name: 'name' };

describe('a pod that was asked to end at 100, with 20 between the two lists that prove it', () => {
  test.each<[string, readonly ListRecord[], boolean]>([
    ['no list', [], false],
    ['one list without it', [list(101)], false],
    ['two lists without it, too close', [list(101), list(120)], false],
    ['two lists without it', [list(101), list(121)], true],
    ['two lists, one begun before the delete', [list(100), list(121)], false],
    ['two lists begun before the delete', [list(50), list(90)], false],
    ['many lists without it', [list(101), list(105), list(110), list(125)], true],
    ['seen by id between', [list(101), list(110, ['id']), list(121)], false],
    ['seen by name between', [list(101), list(110, ['name']), list(121)], false],
    ['seen again at last', [list(101), list(121), list(122, ['id'])], false],
    ['seen first, then gone for long', [list(101, ['id']), list(110), list(130)], true],
    ['seen first, then gone for short', [list(101, ['id']), list(115), list(130)], false],
    ['others seen', [list(101, ['other']), list(121, ['other'])], true],
    ['a list that is not believed', [list(101), list(121, [], false)], false],
    ['two that are not believed', [list(101, [], false), list(121, [], false)], false],
    ['seen only in a list that is not believed', [list(101), list(110, ['id'], false), list(121)], true],
  ])('%s', (_, lists, gone) => {
    expect(isGone(view(...lists), pod, 100, 20)).toBe(gone);
  });

  test('its name is enough when its id is not known', () => {
    expect(isGone(view(list(101), list(110, ['id']), list(121)), { name: 'name' }, 100, 20)).toBe(true);
    expect(isGone(view(list(101), list(110, ['name']), list(121)), { name: 'name' }, 100, 20)).toBe(false);
  });
});

test('whatever the lists are: gone only when two believed ones say so, far enough apart, and none after the first denies it', () => {
  const lists = fc.array(
    fc.record({ gap: fc.integer({ min: 1, max: 15 }), seen: fc.boolean(), believed: fc.boolean() }),
    { maxLength: 20 },
  );
  fc.assert(
    fc.property(lists, fc.integer({ min: 0, max: 60 }), fc.integer({ min: 1, max: 40 }), (given, afterMs, gapMs) => {
      let at = 0;
      const records = given.map(({ gap, seen, believed }) => list((at += gap), seen ? ['id'] : [], believed));
      const counted = records.filter((record) => record.believed && record.startedAt > afterMs);
      const proved = counted.some(
        (first, index) =>
          counted.slice(index).every(({ live }) => !live.has('id')) &&
          counted.some((second) => second.startedAt >= first.startedAt + gapMs),
      );
      expect(isGone(view(...records), pod, afterMs, gapMs)).toBe(proved);
    }),
  );
});
