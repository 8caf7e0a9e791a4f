import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';

interface Schema {
  readonly properties: Readonly<Record<string, Schema>>;
  readonly enum?: readonly string[];
}

/** Every model type that the resource takes. */
export function modelTypes(root: string): readonly string[] {
  const crd = parse(readFileSync(join(root, 'crds/trainingjobs.yaml'), 'utf8')) as {
    spec: { versions: { schema: { openAPIV3Schema: Schema } }[] };
  };
  const path = ['spec', 'trainer', 'tabular', 'modelType'];
  const found = path.reduce<Schema | undefined>(
    (schema, name) => schema?.properties[name],
    crd.spec.versions[0]?.schema.openAPIV3Schema,
  );
  return found?.enum ?? [];
}
