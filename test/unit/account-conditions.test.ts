import { expect, test } from 'vitest';
import { accountConditions, type AccountFacts } from '../../controller/accounts/conditions.ts';
import { RunpodError } from '../../controller/runpod/errors.ts';
import { list } from './snapshot.ts';

const none = { count: 0, lastEndMs: 0, words: '' };
const listed = { pods: [], lists: [list(-1)], error: undefined, suspicious: false };

/** Type, status and reason of each condition. */
function told(changes: Partial<AccountFacts>): readonly string[] {
  const facts = { keyPlace: 'Secret k', view: listed, balance: undefined, unconnected: none, deleting: undefined };
  return accountConditions({ ...facts, ...changes }).map(({ type, status, reason }) => `${type} ${status} ${reason}`);
}
const failing = (kind: RunpodError['kind']): AccountFacts['view'] => ({
  ...listed,
  error: new RunpodError(kind, 'no'),
});

test.each<[string, Partial<AccountFacts>, string, string]>([
  ['a new one', { view: { ...listed, lists: [] } }, 'Unknown AwaitingFirstList', 'KeyValid Unknown AwaitingFirstList'],
  ['one that works', {}, 'true Ready', 'KeyValid true PodsListed'],
  ['a key that is refused', { view: failing('unauthorized') }, 'false Unauthorized', 'KeyValid false Unauthorized'],
  ['a key that may not list', { view: failing('forbidden') }, 'false Forbidden', 'KeyValid false Forbidden'],
  [
    'a Runpod that is away',
    { view: failing('transient') },
    'Unknown RunpodUnreachable',
    'KeyValid Unknown RunpodUnreachable',
  ],
  [
    'no money',
    { balance: { sufficient: false, message: 'low' } },
    'false InsufficientBalance',
    'BalanceSufficient false InsufficientBalance',
  ],
  ['money', { balance: { sufficient: true, message: '' } }, 'true Ready', 'BalanceSufficient true PodRented'],
  ['two silent pods', { unconnected: { ...none, count: 2 } }, 'true Ready', 'TrainersConnect true NothingAgainstIt'],
  [
    'three silent pods',
    { unconnected: { ...none, count: 3 } },
    'false PodsNeverConnect',
    'TrainersConnect false PodsNeverConnect',
  ],
  ['one that is being deleted', { deleting: 'Pods left.' }, 'false Deleting', 'KeyValid true PodsListed'],
])('%s', (_, facts, ready, part) => {
  expect(told(facts)[0]).toBe(`Ready ${ready}`);
  expect(told(facts)).toContain(part);
});

test('what is known to be wrong comes before what is not known', () =>
  expect(told({ view: failing('transient'), balance: { sufficient: false, message: 'low' } })[0]).toBe(
    'Ready false InsufficientBalance',
  ));
