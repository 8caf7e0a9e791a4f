/**
 * Writes what is derived from crds/: the resource definitions of the runtimes, which are made from that of TrainingJob, and the
 * types of each kind, so that types and CRDs cannot part.
 * `node controller/api/generate.ts` writes them; `--check` fails when one differs.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { parse, stringify } from 'yaml';
import { runtimeCrd, runtimeKinds, type RuntimeKind } from './runtimecrds.ts';

export interface GeneratedKind {
  readonly kind: string;
  /** Below crds/. */
  readonly crd: string;
  /** Beside this file. */
  readonly types: string;
}

export const generatedKinds: readonly GeneratedKind[] = [
  { kind: 'TrainingJob', crd: 'trainingjobs.yaml', types: 'trainingjob.generated.ts' },
  { kind: 'RunpodAccount', crd: 'runpodaccounts.yaml', types: 'runpodaccount.generated.ts' },
  { kind: 'TrainingRuntime', crd: 'trainingruntimes.yaml', types: 'trainingruntime.generated.ts' },
];

type Schema = { [key: string]: unknown };

/** A CRD's structural schema as JSON Schema of closed objects, with defaulted fields required: the API server fills them in. */
function closed(schema: Schema): Schema {
  const result: Schema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key.startsWith('x-kubernetes-') || key === 'maxItems' || key === 'minItems') continue;
    result[key] = value;
  }
  if (schema['x-kubernetes-int-or-string'] === true) result['type'] = ['integer', 'string'];
  const properties = schema['properties'] as Record<string, Schema> | undefined;
  if (properties) {
    result['properties'] = Object.fromEntries(Object.entries(properties).map(([name, value]) => [name, closed(value)]));
    result['additionalProperties'] = false;
    const defaulted = Object.entries(properties).filter(([, value]) => 'default' in value);
    result['required'] = [
      ...new Set([...((schema['required'] as string[]) ?? []), ...defaulted.map(([name]) => name)]),
    ];
  } else if (typeof schema['additionalProperties'] === 'object') {
    result['additionalProperties'] = closed(schema['additionalProperties'] as Schema);
  }
  if (schema['items']) result['items'] = closed(schema['items'] as Schema);
  delete result['default'];
  return result;
}

async function schemasOf(crd: string): Promise<{ readonly spec: Schema; readonly status: Schema | undefined }> {
  const definition = parse(await readFile(new URL(`../../crds/${crd}`, import.meta.url), 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: Record<string, Schema> } } }[] };
  };
  const root = definition.spec.versions[0]?.schema.openAPIV3Schema.properties;
  if (!root?.['spec']) throw new Error(`crds/${crd}: the first version has no schema for spec`);
  return { spec: root['spec'], status: root['status'] };
}

export async function generateTypes({ kind, crd }: GeneratedKind): Promise<string> {
  const { spec, status } = await schemasOf(crd);
  const banner = `// Generated from crds/${crd} by controller/api/generate.ts; edit the CRD and run \`make generate\`.`;
  const parts = await Promise.all(
    [{ name: `${kind}Spec`, schema: spec }, ...(status ? [{ name: `${kind}Status`, schema: status }] : [])].map(
      ({ name, schema }) =>
        compile(closed(schema) as JSONSchema, name, { bannerComment: '', format: false, additionalProperties: false }),
    ),
  );
  return `${banner}\n\n${parts.join('\n')}`;
}

async function generateRuntime(kind: RuntimeKind): Promise<string> {
  const { spec } = await schemasOf('trainingjobs.yaml');
  const banner =
    '# Generated from crds/trainingjobs.yaml by controller/api/generate.ts; edit that file and run `make generate`.';
  const text = stringify(runtimeCrd(kind, spec), { lineWidth: 0, singleQuote: true, aliasDuplicateObjects: false });
  return `${banner}\n${text}`;
}

async function put(path: string, fresh: string, check: boolean): Promise<void> {
  const file = new URL(`../../${path}`, import.meta.url);
  if (!check) return writeFile(file, fresh);
  if ((await readFile(file, 'utf8').catch(() => '')) === fresh) return;
  process.stderr.write(`${path} does not match crds/; run \`make generate\`\n`);
  process.exitCode = 1;
}

if (import.meta.main) {
  const check = process.argv.includes('--check');
  for (const kind of runtimeKinds) await put(`crds/${kind.plural}.yaml`, await generateRuntime(kind), check);
  for (const kind of generatedKinds) await put(`controller/api/${kind.types}`, await generateTypes(kind), check);
}
