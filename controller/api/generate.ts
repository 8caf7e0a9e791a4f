/**
 * Writes the types of each kind from its file in crds/, so that types and CRDs cannot part.
 * `node controller/api/generate.ts` writes them; `--check` fails when one differs.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { parse } from 'yaml';

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
];

type Schema = { [key: string]: unknown };

/** A CRD's structural schema as JSON Schema of closed objects, with defaulted fields required: the API server fills them in. */
function closed(schema: Schema): Schema {
  const result: Schema = {};
  for (const [key, value] of Object.entries(schema)) {
    if (key.startsWith('x-kubernetes-') || key === 'maxItems' || key === 'minItems') continue;
    result[key] = value;
  }
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

export async function generateTypes({ kind, crd }: GeneratedKind): Promise<string> {
  const definition = parse(await readFile(new URL(`../../crds/${crd}`, import.meta.url), 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: Record<string, Schema> } } }[] };
  };
  const root = definition.spec.versions[0]?.schema.openAPIV3Schema.properties;
  const spec = root?.['spec'];
  const status = root?.['status'];
  if (!spec || !status) throw new Error(`crds/${crd}: the first version has no schema for spec and status`);
  const banner = `// Generated from crds/${crd} by controller/api/generate.ts; edit the CRD and run \`make generate\`.`;
  const parts = await Promise.all(
    [
      { name: `${kind}Spec`, schema: spec },
      { name: `${kind}Status`, schema: status },
    ].map(({ name, schema }) =>
      compile(closed(schema) as JSONSchema, name, { bannerComment: '', format: false, additionalProperties: false }),
    ),
  );
  return `${banner}\n\n${parts.join('\n')}`;
}

if (import.meta.main) {
  for (const generated of generatedKinds) {
    const file = new URL(generated.types, import.meta.url);
    const fresh = await generateTypes(generated);
    if (!process.argv.includes('--check')) {
      await writeFile(file, fresh);
      continue;
    }
    const present = await readFile(file, 'utf8').catch(() => '');
    if (present !== fresh) {
      process.stderr.write(
        `controller/api/${generated.types} does not match crds/${generated.crd}; run \`make generate\`\n`,
      );
      process.exitCode = 1;
    }
  }
}
