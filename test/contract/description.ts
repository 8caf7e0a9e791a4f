import { readFileSync } from 'node:fs';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import formats from 'ajv-formats';

type Json = Readonly<Record<string, unknown>>;

export interface Parameter {
  readonly name: string;
  readonly in: 'query' | 'path' | 'header';
  readonly required?: boolean;
  readonly schema: Json;
}

interface Body {
  readonly required?: boolean;
  readonly content: Readonly<Record<string, { readonly schema: Json }>>;
}

export interface ResponseObject {
  readonly headers?: Readonly<Record<string, { readonly schema: Json; readonly required?: boolean }>>;
  readonly content?: Readonly<Record<string, { readonly schema: Json }>>;
}

export interface Operation {
  readonly method: string;
  readonly template: string;
  readonly parameters: readonly Parameter[];
  readonly requestBody?: Body;
  /** By status, and `default` for every error that has none of its own. */
  readonly responses: Readonly<Record<string, ResponseObject>>;
}

/** Runpod's published OpenAPI description, read to hold requests and answers against it. */
export interface Description {
  /** The operation of a method and path; a sentence when there is none. */
  operation(method: string, path: string): Operation | string;
  /** What the description says of every path, such as 405. */
  readonly shared: Readonly<Record<string, ResponseObject>>;
  /** Sentences about what in the value breaks the schema. */
  broken(schema: Json, value: unknown): readonly string[];
}

/** The file that the environment names; undefined when it names none. */
export function describedApi(): Description | undefined {
  const path = process.env['RUNPOD_OPENAPI'] ?? '';
  return path === '' ? undefined : readDescription(path);
}

function readDescription(path: string): Description {
  const document = JSON.parse(readFileSync(path, 'utf8')) as {
    readonly paths: Readonly<Record<string, Json>>;
    readonly components: {
      readonly schemas: Json;
      readonly responses: Json;
      readonly headers: Json;
      readonly parameters: Json;
    };
  };
  const { schemas } = document.components;
  const ajv = new Ajv2020({ strict: true, strictTypes: false, strictRequired: false, allErrors: true });
  formats.default(ajv);
  // OpenAPI's own words inside schemas; they restrict nothing.
  for (const word of ['open', 'closed', 'example', 'discriminator', 'x-enum-varnames']) ajv.addKeyword(word);
  const each = (inBranch: boolean): Json =>
    Object.fromEntries(Object.entries(schemas).map(([name, schema]) => [name, closed(schema, inBranch)]));
  ajv.addSchema({ $id: 'runpod:', open: each(true), closed: each(false) });

  const resolved = (value: unknown): unknown => {
    const reference = (value as { $ref?: unknown }).$ref;
    if (typeof reference !== 'string') return value;
    const steps = reference.replace(/^#\//, '').split('/');
    return resolved(steps.reduce<unknown>((at, step) => (at as Json)[step], document));
  };
  const response = (value: unknown): ResponseObject => {
    const found = resolved(value) as ResponseObject;
    const headers = Object.entries(found.headers ?? {}).map(([name, header]) => [name, resolved(header)]);
    return { ...found, headers: Object.fromEntries(headers) as NonNullable<ResponseObject['headers']> };
  };
  const responses = (of: Json): Record<string, ResponseObject> =>
    Object.fromEntries(Object.entries(of).map(([status, value]) => [status, response(value)]));

  const compiled = new Map<Json, ValidateFunction>();
  return {
    shared: { 405: response(document.components.responses['MethodNotAllowedError']) },
    operation(method, path) {
      const found = Object.entries(document.paths).find(([template]) => pathPattern(template).test(path));
      if (!found) return `the description has no path ${path}`;
      const [template, item] = found;
      const operation = item[method.toLowerCase()] as Json | undefined;
      if (!operation) return `the description has no ${method} ${template}`;
      const parameters = [item, operation].map((of) => (of['parameters'] ?? []) as readonly unknown[]);
      return {
        method,
        template,
        parameters: parameters.flat().map((entry) => resolved(entry) as Parameter),
        ...(operation['requestBody'] !== undefined && { requestBody: resolved(operation['requestBody']) as Body }),
        responses: responses(operation['responses'] as Json),
      };
    },
    broken(schema, value) {
      const validate = compiled.get(schema) ?? ajv.compile(closed(schema, false) as Json);
      compiled.set(schema, validate);
      if (validate(value)) return [];
      return (validate.errors ?? []).map(({ instancePath, message, params }) =>
        `${instancePath === '' ? 'it' : instancePath} ${message ?? ''} ${JSON.stringify(params)}`.trim(),
      );
    },
  };
}

function pathPattern(template: string): RegExp {
  return new RegExp(`^${template.replaceAll('.', '\\.').replaceAll(/\{[^}]+\}/g, '[^/]+')}$`);
}

/**
 * The schema without room for members that it does not name, so that a misspelt one is found. A schema that is part of another
 * (`inBranch`) stays open for the other's members; the whole closes behind all of them.
 */
function closed(schema: unknown, inBranch: boolean): unknown {
  if (Array.isArray(schema)) return schema.map((entry) => closed(entry, inBranch));
  if (schema === null || typeof schema !== 'object') return schema;
  const out: Record<string, unknown> = {};
  for (const [word, value] of Object.entries(schema)) {
    if (word === '$ref') {
      const name = String(value).replace('#/components/schemas/', '');
      out[word] = `runpod:#/${inBranch ? 'open' : 'closed'}/${name}`;
    } else if (word === 'properties')
      out[word] = Object.fromEntries(Object.entries(value as Json).map(([name, of]) => [name, closed(of, false)]));
    else if (word === 'items' || word === 'additionalProperties') out[word] = closed(value, false);
    else if (['allOf', 'anyOf', 'oneOf', 'if', 'then', 'else', 'not'].includes(word)) out[word] = closed(value, true);
    else out[word] = value;
  }
  const isObject = ['properties', 'allOf', 'anyOf', 'oneOf'].some((word) => Object.hasOwn(out, word));
  if (!inBranch && isObject && out['additionalProperties'] === undefined) out['unevaluatedProperties'] = false;
  return out;
}
