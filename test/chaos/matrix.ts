import type { Undisturbed } from './run.ts';
import type { Mishap, Strike } from './seam.ts';
import type { Disturbance } from './world.ts';

const crashes = ['crashBefore', 'crashAfter'] as const;

/** What can go wrong, by the name of its column; each gives all its cases for one scenario. */
export const kinds: Readonly<Record<string, (reference: Undisturbed, seed: number) => readonly Disturbance[]>> = {
  'crash before': everyWrite('crashBefore'),
  'crash after': everyWrite('crashAfter'),
  'call fails': everyWrite('failBefore'),
  'answer lost': everyWrite('failAfter'),
  'old resource': everyWrite('staleResource'),
  'old list': everyWrite('staleInventory'),
  'both old': everyWrite('staleBoth'),
  'crash, old resource': everyWrite('staleResourceCrash'),
  'crash, old list': everyWrite('staleInventoryCrash'),
  'crash, both old': everyWrite('staleBothCrash'),
  'lease lost': everyWrite('leaseLost'),
  'event dropped': ({ changes }) => each(changes, (index) => ({ watchFault: { index, fault: 'drop' } })),
  'event twice': ({ changes }) => each(changes, (index) => ({ watchFault: { index, fault: 'duplicate' } })),
  'older event after': ({ changes }) => each(changes, (index) => ({ watchFault: { index, fault: 'swap' } })),
  'two crashes': twoCrashes,
};

function everyWrite(mishap: Mishap): (reference: Undisturbed) => readonly Disturbance[] {
  return ({ writes }) => each(writes.length, (at) => ({ strikes: [{ at, mishap }] }));
}

function each(count: number, make: (index: number) => Disturbance): readonly Disturbance[] {
  return Array.from({ length: count }, (_, index) => make(index));
}

const pairs = 40;

/** Pairs of crashes, close to each other as often as far apart. */
function twoCrashes({ writes }: Undisturbed, seed: number): readonly Disturbance[] {
  const random = generator(seed);
  const strike = (at: number): Strike => ({ at, mishap: crashes[Math.floor(random() * 2)] ?? 'crashAfter' });
  return each(pairs, (index) => {
    const first = Math.floor(random() * writes.length);
    const reach = index % 2 === 0 ? 4 : writes.length;
    return { strikes: [strike(first), strike(first + 1 + Math.floor(random() * reach))] };
  });
}

/** Numbers from 0 to 1, the same for the same seed (mulberry32). */
export function generator(seed: number): () => number {
  let state = seed | 0;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
  };
}
