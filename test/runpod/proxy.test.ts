import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import type { Passed } from './proxy.ts';
import { startSimulator, type Simulator } from './simulator.ts';

/** Listens where a container would at its port 7000, and tells what came; /never is not answered. */
const image = `
const { createServer } = require('node:http');
const [host, port] = process.env.TRAININGJOB_LISTEN_7000.split(':');
createServer((request, response) => {
  if (request.url === '/never') return;
  let body = '';
  request.on('data', (chunk) => (body += chunk)).once('end', () => {
    response.writeHead(request.url === '/teapot' ? 418 : 200, { 'content-type': 'text/x-test' });
    response.end(JSON.stringify({ method: request.method, url: request.url, kind: request.headers['x-kind'], body }));
  });
}).listen(Number(port), host);
`;

const folder = mkdtempSync(join(tmpdir(), 'proxy-test-'));
let simulator: Simulator;
const passed: Passed[] = [];
beforeAll(async () => {
  simulator = await startSimulator({
    folder,
    limits: [],
    images: { listens: [process.execPath, '-e', image], idles: ['sleep', '600'] },
    provisionMs: 0,
    startMs: 0,
    proxyLimitMs: 1000,
  });
  simulator.onPassed((entry) => passed.push(entry));
});
afterEach(() => simulator.faults.clear());
afterAll(async () => {
  await simulator.stop();
  rmSync(folder, { recursive: true });
});

async function rent(name: string, ports: readonly string[]): Promise<string> {
  const response = await fetch(`${simulator.url}/v2/pods`, {
    method: 'POST',
    headers: { authorization: `Bearer ${simulator.apiKey}` },
    body: JSON.stringify({ name, image: name, ports, cpu: { id: 'cpu3c', vcpuCount: 2 } }),
  });
  expect(response.status).toBe(201);
  return ((await response.json()) as { id: string }).id;
}

const address = (pod: string, port = 7000): string =>
  simulator.proxyUrl.replace('{podID}', pod).replace('{port}', String(port));
const status = async (url: string): Promise<number> => {
  const response = await fetch(url);
  await response.body?.cancel();
  return response.status;
};

test('an exposed HTTP port is reached without a key, and all that passes is seen', async () => {
  const pod = await rent('listens', ['7000/http', '22/tcp']);
  // A page of the proxy until the process listens.
  const seen = new Set<number>();
  await expect
    .poll(async () => {
      seen.add(await status(address(pod)));
      return [...seen].at(-1);
    })
    .toBe(200);
  expect(seen).toContain(502);
  const response = await fetch(`${address(pod)}/teapot`, {
    method: 'PUT',
    headers: { 'x-kind': 'green' },
    body: 'leaves',
  });
  expect([response.status, response.headers.get('content-type')]).toEqual([418, 'text/x-test']);
  expect(await response.json()).toEqual({ method: 'PUT', url: '/teapot', kind: 'green', body: 'leaves' });
  const last = passed.at(-1)!;
  expect(last).toMatchObject({ podID: pod, port: 7000, method: 'PUT', path: '/teapot', status: 418 });
  expect(last.request.toString()).toBe('leaves');
  expect(last.response.toString()).toContain('"body":"leaves"');

  expect(await status(address('nobody'))).toBe(404);
  expect(await status(address(pod, 7001))).toBe(404);
  expect(await status(address(pod, 22))).toBe(404);
  expect(await status(`${address(pod)}/never`)).toBe(524);

  simulator.fault({ kind: 'proxyAway', match: 'other' });
  expect(await status(address(pod))).toBe(200);
  simulator.fault({ kind: 'proxyAway', match: 'listens' });
  expect(await status(address(pod))).toBe(502);
  const before = passed.length;
  simulator.fault({ kind: 'loseProxyReply' });
  await expect(fetch(address(pod))).rejects.toThrow('fetch failed');
  expect(passed[before]).toMatchObject({ status: 200 });
  expect(await status(address(pod))).toBe(200);

  await simulator.pods.delete(pod);
  expect(await status(address(pod))).toBe(404);
});

test('a pod in which nothing listens, and one that is only just rented', async () => {
  expect(await status(address(await rent('idles', ['7000/http'])))).toBe(502);
});

test('a port is written with its protocol', async () => {
  const response = await fetch(`${simulator.url}/v2/pods`, {
    method: 'POST',
    headers: { authorization: `Bearer ${simulator.apiKey}` },
    body: JSON.stringify({ name: 'x', image: 'listens', ports: ['7000'], cpu: { id: 'cpu3c', vcpuCount: 2 } }),
  });
  expect(response.status).toBe(400);
  expect(await response.text()).toContain('must be a port and its protocol, such as 8888/http');
});
