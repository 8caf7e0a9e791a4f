/** Says what is wrong with a value that came as JSON: sentences that begin with the place, `$.gpu.count: …`; none when it fits. */
export type Shape = (value: unknown, place: string) => readonly string[];

const no: readonly string[] = [];

function kindOf(value: unknown): string {
  return value === null ? 'null' : Array.isArray(value) ? 'array' : typeof value;
}

export function text(leastLength = 0): Shape {
  return (value, place) => {
    if (typeof value !== 'string') return [`${place}: got ${kindOf(value)}, want string`];
    return value.length < leastLength ? [`${place}: must not be empty`] : no;
  };
}

export function matching(pattern: RegExp, wanted: string): Shape {
  return (value, place) => (typeof value === 'string' && pattern.test(value) ? no : [`${place}: must be ${wanted}`]);
}

export function integer(least: number, most = Number.MAX_SAFE_INTEGER): Shape {
  return (value, place) => {
    if (!Number.isInteger(value)) return [`${place}: got ${kindOf(value)}, want integer`];
    if ((value as number) < least) return [`${place}: must be at least ${least}`];
    return (value as number) > most ? [`${place}: must be at most ${most}`] : no;
  };
}

/** A finite number, not below zero. */
export const amount: Shape = (value, place) =>
  typeof value === 'number' && Number.isFinite(value) && value >= 0 ? no : [`${place}: must be a number of at least 0`];

export const flag: Shape = (value, place) =>
  typeof value === 'boolean' ? no : [`${place}: got ${kindOf(value)}, want boolean`];

export function oneOf(...words: readonly string[]): Shape {
  return (value, place) =>
    typeof value === 'string' && words.includes(value)
      ? no
      : [`${place}: value must be one of ${words.map((word) => `'${word}'`).join(', ')}`];
}

export function nullable(shape: Shape): Shape {
  return (value, place) => (value === null ? no : shape(value, place));
}

export function list(item: Shape, most = Number.MAX_SAFE_INTEGER): Shape {
  return (value, place) => {
    if (!Array.isArray(value)) return [`${place}: got ${kindOf(value)}, want array`];
    if (value.length > most) return [`${place}: must have at most ${most} items`];
    return value.flatMap((entry, index) => item(entry, `${place}[${index}]`));
  };
}

export function map(item: Shape): Shape {
  return (value, place) => {
    if (kindOf(value) !== 'object') return [`${place}: got ${kindOf(value)}, want object`];
    return Object.entries(value as object).flatMap(([name, entry]) => item(entry, `${place}.${name}`));
  };
}

/** An object with these members and no others. */
export function object(members: Readonly<Record<string, Shape>>, required: readonly string[] = []): Shape {
  return (value, place) => {
    if (kindOf(value) !== 'object') return [`${place}: got ${kindOf(value)}, want object`];
    const given = value as Readonly<Record<string, unknown>>;
    return [
      ...required.filter((name) => !Object.hasOwn(given, name)).map((name) => `${place}: missing property '${name}'`),
      ...Object.keys(given)
        .filter((name) => !Object.hasOwn(members, name))
        .map((name) => `${place}: additional properties '${name}' not allowed`),
      ...Object.entries(members).flatMap(([name, shape]) =>
        Object.hasOwn(given, name) ? shape(given[name], `${place}.${name}`) : no,
      ),
    ];
  };
}
