import { describe, expect, test } from 'vitest';
import { runpodError, stable, type RunpodErrorKind } from '../../controller/runpod/errors.ts';

const problemJson = 'application/problem+json';

function problem(status: number, detail: string, errors?: readonly string[]): string {
  return JSON.stringify({ title: 'Title', status, detail, ...(errors && { errors }) });
}

function kindOf(status: number, contentType: string, body: string, repeatable = false): RunpodErrorKind {
  return runpodError({ status, contentType, body, retryAfter: undefined }, repeatable).kind;
}

describe('a create', () => {
  test.each<[number, RunpodErrorKind]>([
    [401, 'unauthorized'],
    [402, 'balance'],
    [403, 'forbidden'],
    [404, 'notFound'],
    [409, 'conflict'],
    [418, 'unclassified'],
    [422, 'invalid'],
    [429, 'rateLimited'],
  ])("refused with %d in Runpod's form is %s", (status, kind) => {
    expect(kindOf(status, problemJson, problem(status, 'words'))).toBe(kind);
    expect(kindOf(status, `${problemJson}; charset=utf-8`, problem(status, 'words'))).toBe(kind);
  });

  test.each<[string, number, string, string]>([
    ['500 in words', 500, problemJson, problem(500, 'internal error')],
    ['503 in words', 503, problemJson, problem(503, 'upstream failed')],
    ['a page', 502, 'text/html', '<html>Bad Gateway</html>'],
    ['a page that says 403', 403, 'text/html', '<html>Forbidden</html>'],
    ['a page that says 404', 404, 'text/html; charset=utf-8', ''],
    ['a 400 of somebody else', 400, 'application/json', '{"message":"bad request"}'],
    ['JSON of another kind', 400, 'application/json', problem(400, 'no capacity')],
    ['a torn problem', 400, problemJson, '{"title":"Bad Request","status":400,"det'],
    ['a problem without words', 400, problemJson, '{"status":400}'],
    ['a problem that is a list', 400, problemJson, '[]'],
    ['nothing', 400, '', ''],
    ['a redirect', 302, 'text/html', ''],
    ['a redirect in words', 307, problemJson, problem(307, 'elsewhere')],
    ['a wait that was too long', 408, problemJson, problem(408, 'timed out')],
  ])('answered with %s has an unknown outcome', (_, status, contentType, body) => {
    expect(kindOf(status, contentType, body)).toBe('unknownOutcome');
  });

  test.each<[RunpodErrorKind, readonly string[]]>([
    [
      'capacity',
      [
        'There are no longer any instances available with the requested specifications. Please refresh and try again.',
        'There are no longer any instances available with enough disk space.',
        'There are not enough free GPUs on the host machine to start this pod.',
        'This machine does not have the resources to deploy your pod. Please try a different machine.',
        'no instances currently available',
        'No GPUs left in EU-RO-1',
        'Insufficient GPU capacity',
        'out of stock',
        'The GPU and data center combination could not be placed.',
        // Words of two kinds: waiting costs nothing, giving up costs the job.
        'No longer any instances available that match the required, valid specifications; count must be lower.',
      ],
    ],
    [
      'balance',
      ['insufficient funds', 'Your account balance is too low', 'Spending limit reached', 'add credits first'],
    ],
    [
      'invalid',
      [
        'malformed JSON in request body',
        'exactly one of gpu and cpu is required',
        'cpu.vcpuCount must be a power of two',
        'mounts.persistent and mounts.network are mutually exclusive',
        'gpu.id "X" is invalid',
        'network volume "v" does not exist',
        'mounts.persistent is not allowed on CPU pods',
        'registry credential is invalid',
        'name is too long',
      ],
    ],
    [
      'unclassified',
      [
        'request could not be processed',
        'flux capacitor misaligned',
        'Something went wrong. Please try again later or contact support.',
        'Cannot reach the scheduler',
        'host not found',
        'registry credentials expired',
        'the service is unavailable',
        'global networking is not available here',
        'capacity',
      ],
    ],
  ])('refused with 400 in words of %s', (kind, sentences) => {
    for (const sentence of sentences)
      expect([sentence, kindOf(400, problemJson, problem(400, sentence))]).toEqual([sentence, kind]);
  });

  test('refused because of its shape tells every violation', () => {
    const body = problem(422, 'Request validation failed.', ['$.name: too short', '$.disk: got string, want integer']);
    const error = runpodError({ status: 422, contentType: problemJson, body, retryAfter: undefined }, false);
    expect(error.message).toBe('Request validation failed.; $.name: too short; $.disk: got string, want integer');
    expect(error.status).toBe(422);
  });
});

describe('a call that may be repeated', () => {
  test.each<[number, string, string, RunpodErrorKind]>([
    [500, problemJson, problem(500, 'words'), 'transient'],
    [502, 'text/html', '<html>', 'transient'],
    [520, 'text/html', '<html>', 'transient'],
    [302, 'text/html', '', 'transient'],
    [400, 'text/html', '', 'transient'],
    [408, problemJson, problem(408, 'words'), 'transient'],
    [401, 'text/html', '', 'unauthorized'],
    [403, 'text/html', '', 'forbidden'],
    [404, problemJson, problem(404, 'resource not found'), 'notFound'],
    [404, 'text/html', '', 'notFound'],
    [409, problemJson, problem(409, 'words'), 'conflict'],
    [429, 'text/html', '', 'rateLimited'],
    [418, problemJson, problem(418, 'words'), 'unclassified'],
  ])('answered %d as %s is %4$s', (status, contentType, body, kind) => {
    expect(kindOf(status, contentType, body, true)).toBe(kind);
  });
});

test.each<[string | undefined, number | undefined]>([
  [undefined, undefined],
  ['', undefined],
  ['0', 0],
  ['12', 12_000],
  ['-1', undefined],
  ['1.5', undefined],
  ['1e3', undefined],
  ['Wed, 21 Oct 2026 07:28:00 GMT', undefined],
  ['999999999999', 86_400_000],
])('Retry-After %j is %j ms', (retryAfter, ms) => {
  const answer = { status: 429, contentType: problemJson, body: problem(429, 'words'), retryAfter };
  expect(runpodError(answer, true).retryAfterMs).toBe(ms);
});

test.each<[string, string]>([
  ['failed (request id: 7f3a-22)', 'failed (request id (id))'],
  ['pod 0a1b2c3d-1111-4222-8333-444455556666 is gone', 'pod (id) is gone'],
  ['at 2026-11-24T20:21:47.123Z it broke', 'at (time) it broke'],
  ['trace deadbeefdeadbeef01 ended', 'trace (id) ended'],
  ['two\nlines\tand\u0000 more ', 'two lines and more'],
  ['H100 80GB in EU-RO-1, $2.99', 'H100 80GB in EU-RO-1, $2.99'],
])('%j is told as %j, the same each time', (message, told) => {
  expect(stable(message)).toBe(told);
});

test('a long message is cut', () => {
  expect(stable('x'.repeat(10_000))).toHaveLength(300);
});
