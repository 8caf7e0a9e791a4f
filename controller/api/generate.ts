/**
 * Writes trainingjob.generated.ts from crds/trainingjobs.yaml, so that types and CRD cannot part.
 * `node controller/api/generate.ts` writes it; `--check` fails when it differs.
 */
import { readFile, writeFile } from 'node:fs/promises';
import { compile, type JSONSchema } from 'json-schema-to-typescript';
import { parse } from 'yaml';

const crdFile = new URL('../../crds/trainingjobs.yaml', import.meta.url);
const typesFile = new URL('./trainingjob.generated.ts', import.meta.url);

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

export async function generateTypes(): Promise<string> {
  const crd = parse(await readFile(crdFile, 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: { properties: Record<string, Schema> } } }[] };
  };
  const root = crd.spec.versions[0]?.schema.openAPIV3Schema.properties;
  const spec = root?.['spec'];
  const status = root?.['status'];
  if (!spec || !status) throw new Error('crds/trainingjobs.yaml: the first version has no schema for spec and status');
  const banner =
    '// Generated from crds/trainingjobs.yaml by controller/api/generate.ts; edit the CRD and run `make generate`.';
  const parts = await Promise.all(
    [
      { name: 'TrainingJobSpec', schema: spec },
      { name: 'TrainingJobStatus', schema: status },
    ].map(({ name, schema }) =>
      compile(closed(schema) as JSONSchema, name, { bannerComment: '', format: false, additionalProperties: false }),
    ),
  );
  return `${banner}\n\n${parts.join('\n')}`;
}

if (import.meta.main) {
  const fresh = await generateTypes();
  if (process.argv.includes('--check')) {
    const present = await readFile(typesFile, 'utf8').catch(() => '');
    if (present !== fresh) {
      process.stderr.write(
        'controller/api/trainingjob.generated.ts does not match crds/trainingjobs.yaml; run `make generate`\n',
      );
      process.exitCode = 1;
    }
  } else {
    await writeFile(typesFile, fresh);
  }
}
