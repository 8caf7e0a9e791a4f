import { expect, test } from 'vitest';
import { generator, kinds } from './matrix.ts';
import { disturbed, undisturbed } from './run.ts';
import { scenarios } from './scenarios.ts';

/** What `make chaos` plays in full: here a sample, the same in every run. */

const seed = 20_260_301;

test.each(scenarios.map((scenario, index) => [scenario.name, scenario, index] as const))(
  '%s: ends the same way whatever is disturbed',
  async (_name, scenario, index) => {
    const reference = await undisturbed(scenario);
    const random = generator(seed + index);
    for (const [number, [kind, casesOf]] of Object.entries(kinds).entries()) {
      if ((number + index) % 3 !== 0) continue;
      const cases = casesOf(reference, seed);
      const chosen = cases[Math.floor(random() * cases.length)];
      if (!chosen) continue;
      const verdict = await disturbed(reference, chosen);
      expect({ kind, chosen, ...verdict }).toMatchObject({ differences: [], keptPods: 0 });
    }
  },
);

test.each(['crash before', 'crash after'])('a plain success: %s, at every write', async (kind) => {
  const [success] = scenarios;
  if (!success) throw new Error('there is no scenario');
  const reference = await undisturbed(success);
  for (const chosen of kinds[kind]?.(reference, seed) ?? []) {
    const verdict = await disturbed(reference, chosen);
    expect({ chosen, ...verdict }).toMatchObject({ differences: [], keptPods: 0 });
  }
});

test('the same run twice is the same run', async () => {
  const scenario = scenarios.find(({ name }) => name === 'the rate charged is too high');
  if (!scenario) throw new Error('the scenario has another name');
  const runs = [await undisturbed(scenario), await undisturbed(scenario)];
  expect(runs[0]?.writes).toEqual(runs[1]?.writes);
  expect(runs[0]?.billedSeconds).toBe(runs[1]?.billedSeconds);
});
