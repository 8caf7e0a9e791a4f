import { expect, test } from 'vitest';
import { proxyAddress } from '../../controller/runpod/proxyaddress.ts';

test.each([
  ['https://{podID}-{port}.proxy.runpod.net', 'https://abc123-8477.proxy.runpod.net'],
  ['http://127.0.0.1:9/_proxy/{podID}/{port}/', 'http://127.0.0.1:9/_proxy/abc123/8477'],
])('%s', (template, address) => expect(proxyAddress(template, 'abc123', 8477)).toBe(address));

test.each(['', 'a/b', 'evil.example.com#', 'a.b', '$&', 'a b'])('"%s" is no id to make an address of', (podID) => {
  expect(() => proxyAddress('https://{podID}-{port}.proxy.runpod.net', podID, 1)).toThrow('is no pod id');
});
