import { describe, expect, test } from 'vitest';
import { parametersBehind, tabularDefaults, tabularPresets } from '../../controller/api/tabulardefaults.ts';

describe('what stands behind the parameters of a tabular job', () => {
  test.each(Object.keys(tabularDefaults))(
    'without a runtime: the defaults of %s, and nothing of another family',
    (family) => {
      const known = tabularDefaults[family as keyof typeof tabularDefaults];
      const wanted = Object.fromEntries(Object.entries(known).filter(([, value]) => value !== null));
      expect(parametersBehind(`${family}_regression`)).toEqual(wanted);
    },
  );

  test('of a runtime for all families each job gets what its own family has', () => {
    const words = { learningRate: '0.02', numLeaves: 9, depth: 3, c: '4', maxDepth: 5 };
    expect(parametersBehind('lightgbm_regression', {}, words)).toMatchObject({
      learningRate: '0.02',
      numLeaves: 9,
      maxDepth: 5,
    });
    expect(parametersBehind('catboost_regression', {}, words)).toMatchObject({ learningRate: '0.02', depth: 3 });
    expect(parametersBehind('svm_regression', {}, words)).toEqual({ ...parametersBehind('svm_regression'), c: '4' });
    expect(parametersBehind('catboost_regression', {}, words)).not.toHaveProperty('numLeaves');
  });

  test.each(['Large', 'Fast', 'HighAccuracy'] as const)(
    'preset %s stands before the defaults and behind a runtime',
    (preset) => {
      const alone = parametersBehind('lightgbm_regression', { preset });
      expect(alone).toMatchObject(tabularPresets[preset]);
      expect(alone.randomState).toBe(42);
      expect(parametersBehind('lightgbm_regression', { preset }, { numLeaves: 3 }).numLeaves).toBe(3);
      expect(parametersBehind('lightgbm_regression', {}, { preset })).toMatchObject({
        ...tabularPresets[preset],
        preset,
      });
    },
  );

  test('a preset of a runtime means nothing to a family without presets', () => {
    expect(parametersBehind('xgboost_regression', {}, { preset: 'Large' })).toEqual(
      parametersBehind('xgboost_regression'),
    );
  });
});
