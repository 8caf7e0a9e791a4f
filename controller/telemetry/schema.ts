import { stageNames } from './protocol.ts';

/** Limits of one batch; each has its sentence in the documentation of the protocol. */
export const limits = {
  bodyBytes: 1024 * 1024,
  events: 500,
  metrics: 64,
  text: 4096,
  logLines: 200,
  logLine: 1024,
  parameters: 64,
} as const;

const step = { type: 'integer', minimum: 0, maximum: Number.MAX_SAFE_INTEGER } as const;
const shortText = { type: 'string', maxLength: limits.text } as const;
const sha256 = { type: 'string', pattern: '^[0-9a-f]{64}$' } as const;
const number = { type: ['number', 'null'] } as const;
const metricName = '^[A-Za-z][A-Za-z0-9_./-]{0,63}$';
const metrics = {
  type: 'object',
  maxProperties: limits.metrics,
  propertyNames: { pattern: metricName },
  additionalProperties: number,
} as const;
const nonFinite = { type: 'array', maxItems: limits.metrics, items: { type: 'string', pattern: metricName } } as const;
const logLines = {
  type: 'array',
  maxItems: limits.logLines,
  items: { type: 'string', maxLength: limits.logLine },
} as const;
const time = { type: 'string', maxLength: 64 } as const;

function event(type: string, required: readonly string[], properties: Record<string, unknown>): object {
  return {
    type: 'object',
    required: ['type', ...required],
    // Members that we do not know are refused: an agent that is newer than its operator must hear of it.
    additionalProperties: false,
    properties: { type: { const: type }, time, ...properties },
  };
}

const events: Readonly<Record<string, object>> = {
  started: event('started', ['trainerVersion'], {
    trainerVersion: { type: 'string', maxLength: 64 },
    deadMan: { enum: ['Armed', 'Unarmed'] },
  }),
  resumed: event('resumed', ['step', 'uri', 'rejected'], {
    step,
    uri: { type: ['string', 'null'], maxLength: 2048 },
    rejected: {
      type: 'array',
      maxItems: 8,
      items: {
        type: 'object',
        required: ['uri', 'reason'],
        additionalProperties: false,
        properties: { uri: { type: 'string', maxLength: 2048 }, reason: shortText },
      },
    },
  }),
  stage: event('stage', ['stage'], { stage: { enum: stageNames }, detail: shortText }),
  totals: event('totals', ['totalSteps'], {
    totalSteps: step,
    evaluationEverySteps: step,
    requestedEvaluationEverySteps: step,
    checkpointEverySteps: step,
    processes: step,
    samplesPerStep: step,
    notes: { type: 'array', maxItems: 20, items: shortText },
  }),
  dataset: event('dataset', ['evalSamples', 'sha256'], {
    samples: step,
    trainSamples: step,
    evalSamples: step,
    tokens: step,
    trainedTokens: step,
    rows: step,
    columns: step,
    sha256,
    revision: { type: 'string', maxLength: 128 },
  }),
  point: event('point', ['step', 'metrics'], { step, epoch: number, metrics, nonFinite }),
  evaluation: event('evaluation', ['step', 'evalLoss', 'trainLoss', 'trainLossStep', 'metrics'], {
    step,
    epoch: number,
    evalLoss: number,
    trainLoss: number,
    trainLossStep: { type: ['integer', 'null'], minimum: 0, maximum: Number.MAX_SAFE_INTEGER },
    metrics,
    nonFinite,
  }),
  prediction: event('prediction', ['step', 'sample', 'prompt', 'expected', 'generated', 'scores'], {
    step,
    sample: step,
    row: step,
    prompt: shortText,
    expected: { type: ['string', 'null'], maxLength: limits.text },
    generated: shortText,
    promptTokens: step,
    generatedTokens: step,
    finishReason: { enum: ['stop', 'length'] },
    scores: metrics,
    problem: shortText,
  }),
  checkpoint: event('checkpoint', ['step', 'uri', 'manifestSHA256', 'verified'], {
    step,
    uri: { type: 'string', maxLength: 2048 },
    manifestSHA256: sha256,
    verified: { type: 'boolean' },
    removed: { type: 'boolean' },
  }),
  search: event('search', ['trials', 'complete', 'pruned', 'failed'], {
    trials: step,
    complete: step,
    pruned: step,
    failed: step,
    bestTrial: step,
    bestParameters: {
      type: 'object',
      maxProperties: limits.parameters,
      propertyNames: { maxLength: 64 },
      additionalProperties: { type: 'string', maxLength: 64 },
    },
  }),
  alert: event('alert', ['name', 'severity', 'message'], {
    name: { type: 'string', maxLength: 64 },
    severity: { enum: ['Info', 'Warning', 'Error'] },
    message: shortText,
  }),
  log: event('log', ['lines'], { lines: logLines }),
  final: event('final', ['outcome', 'exitCode', 'reason', 'message'], {
    outcome: { enum: ['Succeeded', 'Failed', 'Stopped'] },
    exitCode: { type: 'integer', minimum: -255, maximum: 255 },
    reason: { type: 'string', pattern: '^[A-Za-z][A-Za-z0-9]{0,63}$' },
    message: shortText,
    step,
    bestStep: step,
    output: {
      type: 'object',
      required: ['uri', 'manifestSHA256'],
      additionalProperties: false,
      properties: {
        uri: { type: 'string', maxLength: 2048 },
        manifestSHA256: sha256,
        huggingFaceRevision: { type: 'string', maxLength: 64 },
        huggingFaceURL: { type: 'string', maxLength: 2048 },
      },
    },
    metrics,
    logTail: logLines,
  }),
};

export const batchSchema = {
  type: 'object',
  required: ['session', 'podID', 'events'],
  additionalProperties: false,
  properties: {
    session: { type: 'string', pattern: '^[0-9a-f]{16}$' },
    sequence: { type: 'integer', minimum: 1, maximum: Number.MAX_SAFE_INTEGER },
    podID: { type: 'string', minLength: 1, maxLength: 64 },
    sentAt: time,
    stage: { enum: stageNames },
    step,
    events: {
      type: 'array',
      maxItems: limits.events,
      items: {
        type: 'object',
        required: ['type'],
        discriminator: { propertyName: 'type' },
        oneOf: Object.values(events),
      },
    },
  },
} as const;

export const attemptParams = {
  type: 'object',
  required: ['uid', 'attempt'],
  properties: {
    uid: { type: 'string', pattern: '^[0-9a-f-]{36}$' },
    attempt: { type: 'string', pattern: '^[1-9][0-9]{0,8}$' },
  },
} as const;

export const jobParams = {
  type: 'object',
  required: ['uid'],
  properties: { uid: { type: 'string', pattern: '^[0-9a-f-]{36}$' } },
} as const;
