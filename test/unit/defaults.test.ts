import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse } from 'yaml';
import { ownDefaults } from '../../controller/api/defaults.ts';
import { adapterDefaults, fineTuneDefaults } from '../../controller/api/finetunedefaults.ts';
import { tabularDefaults } from '../../controller/api/tabulardefaults.ts';

interface Schema {
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Schema>>;
}

const crd = (file: string): Schema =>
  parse(readFileSync(join(import.meta.dirname, '../../crds', file), 'utf8')).spec.versions[0].schema.openAPIV3Schema
    .properties.spec;

/** Every field with a description that ends in its default, by path; `scoring` is one value. */
function said(schema: Schema, path = ''): Readonly<Record<string, string>> {
  const words = /Default: (.+)\.$/.exec(schema.description ?? '')?.[1];
  if (words !== undefined) return { [path]: words };
  const inner = Object.entries(schema.properties ?? {});
  return Object.assign({}, ...inner.map(([name, value]) => said(value, `${path}.${name}`))) as Record<string, string>;
}

function meant(value: unknown, path = ''): Readonly<Record<string, string>> {
  if (typeof value !== 'object' || value === null) return { [path]: String(value) };
  if (path === '.scoring') return { [path]: inline(value) };
  return Object.assign({}, ...Object.entries(value).map(([name, inner]) => meant(inner, `${path}.${name}`))) as Record<
    string,
    string
  >;
}

function inline(value: unknown): string {
  if (typeof value !== 'object' || value === null) return String(value);
  const members = Object.entries(value).map(([name, inner]) => `${name}: ${inline(inner)}`);
  return `{${members.join(', ')}}`;
}

/** Words, or layers, each by the words that it has. */
function listed(values: readonly unknown[]): string {
  return values.map((each) => (typeof each === 'string' ? each : Object.values(each ?? {}).join(' '))).join(', ');
}

/** A parameter has a default in each family of tabular models, or method, that has it: one word where all agree. */
function each(kind: string, defaults: Readonly<Record<string, object>>): Readonly<Record<string, string>> {
  const found: Record<string, Map<string, string[]>> = {};
  for (const [family, parameters] of Object.entries(defaults))
    for (const [name, value] of Object.entries(parameters)) {
      const words = (found[`.trainer.${kind}.parameters.${name}`] ??= new Map());
      const word = Array.isArray(value) ? listed(value as readonly unknown[]) : String(value ?? 'none');
      words.set(word, [...(words.get(word) ?? []), family]);
    }
  return Object.fromEntries(
    Object.entries(found).map(([path, words]) => {
      const several = [...words].map(([word, families]) => `${word} (${families.join(', ')})`);
      return [path, several.length === 1 ? [...words.keys()][0]! : several.join(', ')];
    }),
  );
}

test.each(['trainingjobs.yaml', 'clustertrainingruntimes.yaml', 'trainingruntimes.yaml'])(
  '%s says each default of the operator, and no other',
  (file) =>
    expect(said(crd(file))).toEqual({
      ...meant(ownDefaults),
      ...meant(adapterDefaults, '.trainer.fineTune.lora'),
      ...each('fineTune', fineTuneDefaults),
      ...each('tabular', tabularDefaults),
    }),
);

test('a field with a default that a runtime may set has none in the schema, or the words of a job could not be told from it', () => {
  const filled = (schema: Schema): boolean =>
    schema.default !== undefined || Object.values(schema.properties ?? {}).some(filled);
  expect(filled(crd('clustertrainingruntimes.yaml'))).toBe(false);
});
