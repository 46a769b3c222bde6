import { describe, expect, test } from 'vitest';
import { registerNames, type NameDependencies } from '../../../src/api/names.ts';
import { CodedError } from '../../../src/base/errors.ts';
import type { NameAnswer } from '../../../src/query/tenant-names.ts';
import { send, startServer } from '../http/test-server.ts';

const CACHED = 'max-age=300, must-revalidate';

function withNames(options: Partial<NameDependencies> = {}, cacheable = false) {
  const answer = (...asked: string[]): Promise<NameAnswer> =>
    Promise.resolve({ json: Buffer.from(JSON.stringify(asked)), cacheable });
  return startServer({
    register: ({ app }) => {
      registerNames(app, {
        query: {
          services: (tenant) => answer('services', tenant),
          spanNames: (tenant, service) => answer('spans', tenant, service),
          remoteServices: (tenant, service) => answer('remotes', tenant, service),
          tagValues: (tenant, key) => answer('values', tenant, key),
        },
        autocompleteKeys: Buffer.from('["b","k"]'),
        maxAgeSeconds: 300,
        tenantOf: (header) => {
          if (header === 'bad') throw new CodedError('SCRUBJAY_ERR_TENANT_MALFORMED');
          return header ?? 'default';
        },
        ...options,
      });
    },
  });
}

describe('Name routes', () => {
  test.each([
    ['services', ['services', 'default']],
    ['spans?serviceName=FrontEnd', ['spans', 'default', 'frontend']],
    ['spans?serviceName=', ['spans', 'default', '']],
    ['spans?serviceName=a&serviceName=b', ['spans', 'default', 'a']],
    ['remoteServices?serviceName=%E4%B8%AA%E4%BA%BA', ['remotes', 'default', '个人']],
    ['autocompleteValues?key=clnt/Finagle.version', ['values', 'default', 'clnt/Finagle.version']],
    ['autocompleteKeys', ['b', 'k']],
  ])('GET /api/v2/%s', async (path, expected) => {
    const { port } = await withNames();
    for (const base of ['/api/v2/', '/zipkin/api/v2/']) {
      const { status, body, headers } = await send(port, 'GET', base + path);
      expect([status, JSON.parse(body)]).toEqual([200, expected]);
      expect(headers['content-type']).toBe('application/json');
      expect(headers['cache-control']).toBe(path === 'autocompleteKeys' ? CACHED : undefined);
    }
  });

  test.each([
    ['spans', 'Mandatory parameter/header/attribute is missing: serviceName'],
    ['remoteServices?x=1', 'Mandatory parameter/header/attribute is missing: serviceName'],
    ['autocompleteValues', 'Mandatory parameter/header/attribute is missing: key'],
    ['autocompleteValues?key=', 'key was empty'],
  ])('GET /api/v2/%s is refused, whether search is enabled or not', async (path, text) => {
    for (const options of [{}, { query: undefined }]) {
      const { port } = await withNames(options);
      expect(await send(port, 'GET', `/api/v2/${path}`)).toMatchObject({ status: 400, body: text });
    }
  });

  test('many names may be kept by clients', async () => {
    const { port } = await withNames({}, true);
    for (const path of ['services', 'spans?serviceName=a', 'autocompleteValues?key=k']) {
      const { headers } = await send(port, 'GET', `/api/v2/${path}`);
      expect(headers['cache-control']).toBe(CACHED);
    }
  });

  test('all lists but the keys are empty when search is disabled', async () => {
    const { port } = await withNames({ query: undefined, maxAgeSeconds: 7 });
    const paths = ['services', 'spans', 'remoteServices', 'autocompleteValues'];
    for (const path of paths) {
      const url = `/api/v2/${path}?serviceName=a&key=k`;
      const { status, body, headers } = await send(port, 'GET', url);
      expect([status, body, headers['cache-control']]).toEqual([200, '[]', undefined]);
    }
    const keys = await send(port, 'GET', '/api/v2/autocompleteKeys');
    expect([keys.body, keys.headers['cache-control']]).toEqual([
      '["b","k"]',
      'max-age=7, must-revalidate',
    ]);
  });

  test('the tenant is the one of the header', async () => {
    const { port } = await withNames();
    const get = (tenant: string) =>
      send(port, 'GET', '/api/v2/services', { headers: { 'x-scope-orgid': tenant } });
    expect((await get('team')).body).toBe('["services","team"]');
    expect((await get('bad')).status).toBe(400);
  });
});
