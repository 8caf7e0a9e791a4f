import type { TrainingRuntimeSpec } from './trainingruntime.ts';

/**
 * The operator's own words, which stand where neither a job nor its runtime says anything. In the shape of a runtime. The
 * resource definition has no `default` for these fields, or a runtime's words could not be told from them; its descriptions
 * say them all the same. Those of tabular models are in tabulardefaults.ts, those of fine-tuning in finetunedefaults.ts.
 */
export const ownDefaults = {
  compute: { containerDiskGB: 20 },
  checkpoints: { keepBest: 1, keepLast: 2 },
  scoring: { strategy: 'SingleMetric', metric: { name: 'eval/loss', goal: 'Minimize' } },
  predictions: { enabled: true, sampleCount: 5, maxNewTokens: 256, temperature: '0', seed: 42 },
  runPolicy: {
    backoffLimit: 2,
    hostFaultLimit: 5,
    interruptionLimit: 20,
    placementDeadlineSeconds: 14_400,
    startDeadlineSeconds: 1200,
  },
  watchdog: { heartbeatTimeoutSeconds: 300, noProgressTimeoutSeconds: 1800, deadManSeconds: 2700 },
} as const satisfies TrainingRuntimeSpec;
