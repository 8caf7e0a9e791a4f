import { expect, test } from 'vitest';
import { podName, uid12 } from '../../controller/api/identity.ts';
import { installation } from '../unit/snapshot.ts';
import { plain } from './scenarios.ts';
import { World } from './world.ts';

/** Pods that somebody else rented, however much they look like ours. */

const ofNobody = uid12('99999999-4567-4890-abcd-ef0123456789');
const ours = podName({ installation, uid12: ofNobody, attempt: 1, nonce: 'x9q2' }, 'fit');
const strangers = {
  'another installation': podName({ installation: 'zzz999', uid12: ofNobody, attempt: 1, nonce: 'x9q2' }, 'fit'),
  'no prefix': 'llama-finetune',
  'no name at all': '',
  'another prefix': `x${ours}`,
  'our prefix and nothing else': `tj-${installation}-`,
  'our prefix and words': `tj-${installation}-notebook`,
  'an installation that begins like ours': `tj-${installation}0-${ofNobody}-a1-x9q2-fit`,
  'attempt 0': ours.replace('-a1-', '-a0-'),
  'a uid that is none': ours.replace(ofNobody, 'zzzzzzzzzzzz'),
  'capital letters': ours.toUpperCase(),
  'a slug that is too long': `${ours}-that-never-comes-to-an-end`,
  locked: 'tj-locked-by-its-owner',
};

test('an account full of look-alikes is untouched after an hour of sweeping, in which an orphan of ours is ended', async () => {
  const world = new World({ name: 'look-alikes', spec: plain, ends: 'Nothing' });
  for (const [id, name] of Object.entries(strangers)) world.account.addStranger({ id, name });
  world.account.addStranger({ id: 'orphan', name: ours });
  world.begin();
  world.cluster.apply('fit', plain);
  await world.clock.pass(3_600_000);
  world.operator?.kill();
  expect(world.cluster.job('fit')?.status?.phase).toBe('Succeeded');
  expect([...world.account.deleted.keys()].toSorted()).toEqual(['orphan', `pod${Object.keys(strangers).length + 2}`]);
  expect(world.account.billing().map(({ pod }) => pod.id)).toEqual(Object.keys(strangers));
});
