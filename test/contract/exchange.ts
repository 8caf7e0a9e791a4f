import type { Description, Operation, ResponseObject } from './description.ts';

/** A request and its answer as they went over the wire. Header names are in lower case. */
export interface Exchange {
  readonly method: string;
  /** Path and query. */
  readonly target: string;
  readonly requestHeaders: Readonly<Record<string, string>>;
  readonly requestBody: string;
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/** Sentences about where the request leaves the description; none when it keeps to it. */
export function brokenRequest(description: Description, exchange: Exchange): readonly string[] {
  const { pathname, searchParams } = new URL(exchange.target, 'http://localhost');
  const operation = description.operation(exchange.method, pathname);
  if (typeof operation === 'string') return [operation];
  return [
    ...brokenQuery(description, operation, searchParams),
    ...(/^Bearer \S+$/.test(exchange.requestHeaders['authorization'] ?? '') ? [] : ['the request has no bearer token']),
    ...brokenRequestBody(description, operation, exchange),
  ].map((problem) => `${exchange.method} ${pathname}: ${problem}`);
}

function brokenQuery(description: Description, operation: Operation, query: URLSearchParams): readonly string[] {
  const known = operation.parameters.filter((parameter) => parameter.in === 'query');
  const missing = known.filter((parameter) => parameter.required === true && !query.has(parameter.name));
  return [
    ...missing.map(({ name }) => `query parameter "${name}" is missing`),
    ...[...query].flatMap(([name, text]) => {
      const parameter = known.find((entry) => entry.name === name);
      if (!parameter) return [`query parameter "${name}" is not described`];
      const { type } = parameter.schema;
      const value =
        type === 'array'
          ? text.split(',')
          : type === 'integer'
            ? Number(text)
            : type === 'boolean'
              ? text === 'true'
              : text;
      return description.broken(parameter.schema, value).map((problem) => `query parameter "${name}": ${problem}`);
    }),
  ];
}

function brokenRequestBody(description: Description, operation: Operation, exchange: Exchange): readonly string[] {
  const { requestBody } = operation;
  if (!requestBody) return exchange.requestBody === '' ? [] : ['the request has a body, and none is described'];
  if (exchange.requestBody === '') return requestBody.required === true ? ['the request has no body'] : [];
  return brokenContent(description, requestBody.content, exchange.requestHeaders['content-type'], exchange.requestBody);
}

/**
 * Sentences about where the answer leaves the description. `exempt` is for callers that Runpod's rate limit does not count: they
 * get none of its headers.
 */
export function brokenAnswer(
  description: Description,
  exchange: Exchange,
  caller: 'limited' | 'exempt' = 'limited',
): readonly string[] {
  const { pathname } = new URL(exchange.target, 'http://localhost');
  const { status } = exchange;
  const response = describedResponse(description, exchange.method, pathname, status);
  const problems =
    typeof response === 'string'
      ? [response]
      : [
          ...brokenHeaders(description, response, exchange, caller),
          ...(response.content
            ? brokenContent(description, response.content, exchange.headers['content-type'], exchange.body)
            : exchange.body === ''
              ? []
              : ['the answer has a body, and none is described']),
          ...(status >= 400 ? brokenStatusMember(status, exchange.body) : []),
        ];
  return problems.map((problem) => `${exchange.method} ${pathname} ${status}: ${problem}`);
}

function describedResponse(
  description: Description,
  method: string,
  path: string,
  status: number,
): ResponseObject | string {
  const shared = description.shared[status];
  const operation = description.operation(method, path);
  if (typeof operation === 'string') {
    // What is not there is answered as any error is: with the form that all operations share.
    const other = description.operation('GET', '/v2/pods/any');
    return shared ?? (status === 404 && typeof other !== 'string' ? other.responses['404'] : undefined) ?? operation;
  }
  const found = operation.responses[status] ?? shared ?? (status >= 400 ? operation.responses['default'] : undefined);
  return found ?? `status ${status} is not described`;
}

function brokenHeaders(
  description: Description,
  response: ResponseObject,
  exchange: Exchange,
  caller: 'limited' | 'exempt',
): readonly string[] {
  const isLimit = (name: string): boolean => /^ratelimit(-policy)?$/i.test(name);
  const problems = Object.entries(response.headers ?? {}).flatMap(([name, { schema }]) => {
    const text = exchange.headers[name.toLowerCase()];
    if (isLimit(name) && caller === 'exempt') return [];
    if (text === undefined) return [`header ${name} is missing`];
    const value = schema['type'] === 'integer' && /^-?\d+$/.test(text) ? Number(text) : text;
    return description.broken(schema, value).map((problem) => `header ${name}: ${problem}`);
  });
  const present = Object.keys(exchange.headers).filter(isLimit);
  if (present.length > 0 && (exchange.status === 401 || caller === 'exempt'))
    problems.push('rate limit headers go to authenticated callers that are limited, to nobody else');
  return [...problems, ...present.flatMap((name) => brokenLimit(name, exchange.headers[name] ?? ''))];
}

/** The structured field that the description puts in words: one member per window, each with its two numbers. */
function brokenLimit(name: string, value: string): readonly string[] {
  const [first, second] = name.toLowerCase() === 'ratelimit' ? ['r', 't'] : ['q', 'w'];
  const member = new RegExp(`^"(minute|hour|day)";${first}=(0|[1-9]\\d{0,14});${second}=(0|[1-9]\\d{0,14})$`);
  const windows = value.split(', ').map((part) => member.exec(part)?.[1]);
  if (windows.includes(undefined))
    return [`header ${name} is no list of windows with ${first} and ${second}: ${value}`];
  return new Set(windows).size === windows.length ? [] : [`header ${name} names a window twice: ${value}`];
}

function brokenContent(
  description: Description,
  content: Readonly<Record<string, { readonly schema: Readonly<Record<string, unknown>> }>>,
  contentType: string | undefined,
  body: string,
): readonly string[] {
  const described = content[contentType?.split(';')[0]?.trim().toLowerCase() ?? ''];
  if (!described)
    return [`content type ${contentType ?? '(none)'} is not described, only ${Object.keys(content).join()}`];
  if (contentType?.startsWith('text/event-stream') === true)
    return [...description.broken(described.schema, body), ...brokenEvents(body)];
  let value: unknown;
  try {
    value = JSON.parse(body);
  } catch {
    return ['the body is not JSON'];
  }
  return description.broken(described.schema, value).map((problem) => `body: ${problem}`);
}

function brokenStatusMember(status: number, body: string): readonly string[] {
  try {
    const told = (JSON.parse(body) as { status?: unknown }).status;
    return told === status ? [] : [`the body tells status ${String(told)}`];
  } catch {
    return [];
  }
}

/** The events of a pod's log, whose form the description puts in words. */
function brokenEvents(body: string): readonly string[] {
  const events = body.split('\n\n');
  if (events.pop() !== '') return ['the last event is not complete'];
  return events.flatMap((event) => {
    const [id = '', data = '', ...more] = event.split('\n');
    try {
      if (more.length > 0 || !id.startsWith('id: ') || !data.startsWith('data: ')) return [`no event: ${event}`];
      const line = JSON.parse(data.slice('data: '.length)) as Record<string, unknown>;
      const isKnown = ['container', 'system'].includes(String(line['source'])) && typeof line['line'] === 'string';
      const isTimed = typeof line['ts'] === 'string' && id.slice('id: '.length).startsWith(line['ts']);
      return isKnown && isTimed && Object.keys(line).length === 3 ? [] : [`no line of a log: ${event}`];
    } catch {
      return [`no JSON in ${event}`];
    }
  });
}
