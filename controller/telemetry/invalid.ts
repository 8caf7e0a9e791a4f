import type { FastifySchemaValidationError } from 'fastify/types/schema.js';

/** What breaks the schema, where, and what to write instead, in one sentence. */
export function invalidSentence(errors: readonly FastifySchemaValidationError[], part: string): Error {
  const [first] = errors;
  return new Error(first ? sentence(first, errors, part) : `the ${part} is not what this path takes`);
}

function sentence(
  error: FastifySchemaValidationError,
  errors: readonly FastifySchemaValidationError[],
  part: string,
): string {
  const { keyword, params } = error;
  // A name that is wrong is told by the rule about names, which stands beside the rule that it breaks.
  const named = errors.find((other) => other.keyword === 'propertyNames');
  const where = place(error.instancePath, part);
  if (named) {
    return `${place(named.instancePath, part)} has the name ${quoted(named.params['propertyName'])}; a name begins with a letter and has up to 64 letters, digits and _ . / -`;
  }
  switch (keyword) {
    case 'additionalProperties':
      return `${where} has the member ${quoted(params['additionalProperty'])}, which is not known here; leave it out`;
    case 'required':
      return `${where} lacks the member ${quoted(params['missingProperty'])}`;
    case 'discriminator':
      return `${where}.type is ${quoted(params['tagValue'])}, which is no event of this protocol version`;
    case 'enum':
      return `${where} must be one of ${(params['allowedValues'] as readonly unknown[]).join(', ')}`;
    case 'type':
      return `${where} must be ${words(params['type'])}`;
    case 'pattern':
      return `${where} must match ${String(params['pattern'])}`;
    default:
      return `${where} ${error.message ?? 'is not valid'}`;
  }
}

const typeWords: Readonly<Record<string, string>> = {
  number: 'a finite number',
  integer: 'a whole number',
  string: 'a text',
  object: 'an object',
  array: 'a list',
  boolean: 'true or false',
};

function words(types: unknown): string {
  return [types]
    .flat()
    .flatMap((type) => String(type).split(','))
    .map((type) => typeWords[type] ?? type)
    .join(' or ');
}

/** `/events/3/metrics/a~1b` as `events[3].metrics["a/b"]`. */
function place(instancePath: string, part: string): string {
  if (instancePath === '') return `the ${part}`;
  return instancePath
    .slice(1)
    .split('/')
    .map((step) => step.replaceAll('~1', '/').replaceAll('~0', '~'))
    .map((step, index) => {
      if (/^\d+$/.test(step)) return `[${step}]`;
      if (!/^[A-Za-z]\w*$/.test(step)) return `[${quoted(step)}]`;
      return index === 0 ? step : `.${step}`;
    })
    .join('');
}

/** What a stranger sent, short enough for an answer. */
function quoted(value: unknown): string {
  const text = typeof value === 'string' ? value : (JSON.stringify(value) ?? 'absent');
  return JSON.stringify(text.length > 64 ? `${text.slice(0, 64)}…` : text);
}
