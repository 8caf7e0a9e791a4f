import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startSimulator, type Simulator } from '../runpod/simulator.ts';
import { temporaryFolder, type TemporaryFolder } from './temporary.ts';
import { describedApi } from './description.ts';
import { brokenAnswer, brokenRequest, type Exchange } from './exchange.ts';
import { startRecorder, type Recorder } from './recorder.ts';

const description = describedApi();

/** A contract test that finds nothing proves nothing until what it must find was shown to be found. */
describe.skipIf(description === undefined)('the check against the description', () => {
  const api = description!;
  let folder: TemporaryFolder;
  let simulator: Simulator;
  let recorder: Recorder;
  let created: Exchange;
  let refused: Exchange;
  let limited: Exchange;
  let deleted: Exchange;

  beforeAll(async () => {
    folder = temporaryFolder();
    simulator = await startSimulator({ folder: folder.path, limits: [{ name: 'minute', requests: 4 }] });
    recorder = await startRecorder(simulator.url);
    const send = async (method: string, path: string, body?: object): Promise<Exchange> => {
      await fetch(`${recorder.url}${path}`, {
        method,
        headers: { authorization: `Bearer ${simulator.apiKey}`, 'content-type': 'application/json' },
        ...(body && { body: JSON.stringify(body) }),
      });
      return recorder.exchanges.at(-1)!;
    };
    const pod = { name: 'one', image: 'stub:never', gpu: { id: 'NVIDIA L40S', count: 2, minCudaVersion: '12.8' } };
    created = await send('POST', '/v2/pods', pod);
    refused = await send('POST', '/v2/pods', { ...pod, disk: 0 });
    await send('GET', '/v2/pods');
    deleted = await send('DELETE', `/v2/pods/${(JSON.parse(created.body) as { id: string }).id}`);
    limited = await send('GET', '/v2/pods');
  });
  afterAll(async () => {
    await recorder.stop();
    await simulator.stop();
    folder.remove();
  });

  test('finds nothing in what is right', () => {
    expect([created, refused, deleted, limited].map(({ status }) => status)).toEqual([201, 422, 204, 429]);
    for (const exchange of [created, deleted, limited]) expect(brokenRequest(api, exchange)).toEqual([]);
    for (const exchange of [created, refused, deleted, limited]) expect(brokenAnswer(api, exchange)).toEqual([]);
  });

  const withBody = (exchange: Exchange, change: object): Exchange => ({
    ...exchange,
    body: JSON.stringify({ ...(JSON.parse(exchange.body) as object), ...change }),
  });
  const withHeader = (exchange: Exchange, name: string, value: string | undefined): Exchange => {
    const { [name]: _, ...others } = exchange.headers;
    return { ...exchange, headers: value === undefined ? others : { ...others, [name]: value } };
  };

  test.each<[string, () => Exchange, RegExp]>([
    ['a wrong enum', () => withBody(created, { status: 'SLEEPING' }), /\/status must be equal to one of/],
    ['a missing required member', () => withBody(created, { cost: undefined }), /required property 'cost'/],
    ['a member that is not described', () => withBody(created, { costPerHr: 1 }), /unevaluated.*costPerHr/],
    ['one deep inside', () => withBody(created, { gpu: { id: 'x', number: 2 } }), /\/gpu .*unevaluated.*number/],
    ['a wrong type', () => withBody(created, { disk: '20' }), /\/disk must be integer/],
    ['a wrong form', () => withBody(created, { createdAt: 'yesterday' }), /\/createdAt must match format/],
    ['null where it may not be', () => withBody(created, { locked: null }), /\/locked must be boolean/],
    ['an undocumented status', () => ({ ...created, status: 202 }), /status 202 is not described/],
    ['a success told as another', () => ({ ...deleted, status: 200 }), /status 200 is not described/],
    ['a body where none is', () => ({ ...deleted, body: '{}' }), /has a body/],
    ['no JSON', () => ({ ...created, body: '<html>' }), /is not JSON/],
    ['another content type', () => withHeader(refused, 'content-type', 'application/json'), /is not described/],
    ['an error without detail', () => withBody(refused, { detail: undefined }), /required property 'detail'/],
    ['an error that tells another status', () => withBody(refused, { status: 400 }), /tells status 400/],
    ['errors that are no texts', () => withBody(refused, { errors: [1] }), /\/errors\/0 must be string/],
    ['an error that only the default describes', () => ({ ...refused, status: 507 }), /tells status 422/],
    ['no Retry-After', () => withHeader(limited, 'retry-after', undefined), /Retry-After is missing/],
    ['a Retry-After in words', () => withHeader(limited, 'retry-after', 'soon'), /Retry-After: it must be integer/],
    ['no RateLimit', () => withHeader(created, 'ratelimit', undefined), /RateLimit is missing/],
    ['a RateLimit of another form', () => withHeader(created, 'ratelimit', 'minute;r=1;t=2'), /no list of windows/],
    ['a RateLimit without a number', () => withHeader(created, 'ratelimit', '"minute";r=1'), /no list of windows/],
    ['a window of its own', () => withHeader(created, 'ratelimit', '"week";r=1;t=2'), /no list of windows/],
    [
      'a window twice',
      () => withHeader(created, 'ratelimit', '"minute";r=1;t=2, "minute";r=3;t=4'),
      /names a window twice/,
    ],
    [
      'a policy of another form',
      () => withHeader(created, 'ratelimit-policy', '"minute";r=1;t=2'),
      /no list of windows/,
    ],
    ['a rate limit told to a stranger', () => ({ ...refused, status: 401 }), /authenticated callers/],
  ])('finds %s in an answer', (_, exchange, sentence) => {
    expect(brokenAnswer(api, exchange()).join('\n')).toMatch(sentence);
  });

  const sent = (change: object): Exchange => ({
    ...created,
    requestBody: JSON.stringify({ ...(JSON.parse(created.requestBody) as object), ...change }),
  });

  test.each<[string, () => Exchange, RegExp]>([
    ['a wrong enum', () => sent({ cloud: 'Secure' }), /\/cloud must be equal to one of/],
    ['a missing required member', () => sent({ name: undefined }), /required property 'name'/],
    ['neither image nor template', () => sent({ image: undefined }), /required property 'image'/],
    ['a member that is not described', () => sent({ gpuCount: 1 }), /unevaluated.*gpuCount/],
    ['one deep inside', () => sent({ gpu: { id: 'x', type: 'y' } }), /unevaluated.*type/],
    ['a wrong form', () => sent({ gpu: { id: 'x', minCudaVersion: '12' } }), /minCudaVersion must match pattern/],
    ['a number as text in env', () => sent({ env: { A: 1 } }), /\/env\/A must be string/],
    ['a mount without path', () => sent({ mounts: { network: [{ volumeId: 'v' }] } }), /required property 'path'/],
    ['two network volumes', () => sent({ mounts: { network: [{}, {}] } }), /NOT have more than 1/],
    ['no body', () => ({ ...created, requestBody: '' }), /has no body/],
    ['a body where none is', () => ({ ...deleted, requestBody: '{}' }), /none is described/],
    [
      'a parameter that is not described',
      () => ({ ...limited, target: '/v2/pods?limit=5' }),
      /"limit" is not described/,
    ],
    ['a wrong parameter', () => ({ ...limited, target: '/v2/catalog/gpus?count=0' }), /"count": it must be >= 1/],
    ['no key', () => ({ ...created, requestHeaders: {} }), /no bearer token/],
    ['another path', () => ({ ...created, target: '/v2/pod' }), /no path \/v2\/pod/],
    ['another method', () => ({ ...created, method: 'PUT' }), /no PUT \/v2\/pods/],
  ])('finds %s in a request', (_, exchange, sentence) => {
    expect(brokenRequest(api, exchange()).join('\n')).toMatch(sentence);
  });
});
