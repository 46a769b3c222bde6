import { describe, expect, test } from 'vitest';
import { uiSettings } from '../../../src/api/config.ts';
import { registerUiConfig } from '../../../src/api/ui-config.ts';
import type { UiConfig } from '../../../src/api/ui-config.ts';
import type { SettingValues } from '../../../src/base/settings.ts';
import { send, startServer } from '../http/test-server.ts';

const DEFAULTS = Object.fromEntries(
  Object.entries(uiSettings).map(([name, setting]) => [name, setting.default]),
) as unknown as SettingValues<typeof uiSettings>;
const PATH = '/zipkin/config.json';

const serve = (config: Partial<UiConfig> = {}) =>
  startServer({
    register: ({ app }) => {
      registerUiConfig(app, { ...DEFAULTS, searchEnabled: true, ...config });
    },
  });

describe('config.json', () => {
  test('is written exactly as Zipkin writes it', async () => {
    const { port } = await serve();
    const answer = await send(port, 'GET', PATH);
    expect(answer.status).toBe(200);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/json; charset=utf-8',
      'cache-control': 'max-age=600',
      etag: expect.stringMatching(/^"[\w-]{22}"$/) as string,
    });
    expect(answer.body).toBe(
      [
        '{',
        '  "environment" : "",',
        '  "queryLimit" : 10,',
        '  "defaultLookback" : 900000,',
        '  "searchEnabled" : true,',
        '  "logsUrl" : null,',
        '  "supportUrl" : null,',
        '  "archivePostUrl" : null,',
        '  "archiveUrl" : null,',
        '  "dependency" : {',
        '    "enabled" : true,',
        '    "lowErrorRate" : 0.5,',
        '    "highErrorRate" : 0.75',
        '  }',
        '}',
      ].join('\n'),
    );
  });

  test('says what is set', async () => {
    const config = {
      environment: 'staging',
      queryLimit: 50,
      defaultLookbackMs: 3_600_000,
      searchEnabled: false,
      logsUrl: 'https://logs.example/?q={traceId}',
      supportUrl: '/help',
      archivePostUrl: 'https://archive.example/api/v2/spans',
      archiveUrl: 'https://archive.example/zipkin/traces/{traceId}',
      dependencyEnabled: false,
      lowErrorRate: 0.1,
      highErrorRate: 0.2,
    };
    const { port } = await serve(config);
    const { defaultLookbackMs, dependencyEnabled, lowErrorRate, highErrorRate, ...same } = config;
    expect(JSON.parse((await send(port, 'GET', PATH)).body)).toEqual({
      ...same,
      defaultLookback: defaultLookbackMs,
      dependency: { enabled: dependencyEnabled, lowErrorRate, highErrorRate },
    });
  });

  test('is not sent again to who has it', async () => {
    const { port } = await serve();
    const etag = (await send(port, 'GET', PATH)).headers.etag!;
    for (const tags of [etag, `W/${etag}`, `"x", ${etag}`, '*']) {
      const answer = await send(port, 'GET', PATH, { headers: { 'if-none-match': tags } });
      expect(answer, tags).toMatchObject({ status: 304, body: '' });
      expect(answer.headers).toMatchObject({ etag, 'cache-control': 'max-age=600' });
    }
    const other = await send(port, 'GET', PATH, { headers: { 'if-none-match': '"x"' } });
    expect(other.status).toBe(200);
  });

  test('has another tag when it says something else', async () => {
    const [one, other] = await Promise.all([serve(), serve({ environment: 'b' })]);
    const tags = await Promise.all(
      [one, other].map(async ({ port }) => (await send(port, 'GET', PATH)).headers.etag),
    );
    expect(tags[0]).not.toBe(tags[1]);
  });
});
