import { describe, expect, test } from 'vitest';
import { post, send, startServer } from './test-server.ts';

const origin = 'http://ui.example';
const preflight = { origin, 'access-control-request-method': 'POST' };

describe('any origin, the default', () => {
  test('answers allow it, errors too', async () => {
    const { port } = await startServer();
    for (const body of ['[]', 'x']) {
      const { headers } = await post(port, body, { origin });
      expect(headers['access-control-allow-origin']).toBe('*');
      expect(headers.vary).toBeUndefined();
      expect(headers['access-control-allow-credentials']).toBeUndefined();
    }
  });

  test('a preflight is a 200 that names methods and headers', async () => {
    const { port } = await startServer();
    const answer = await send(port, 'OPTIONS', '/api/v2/spans', { headers: preflight });
    expect(answer).toMatchObject({ status: 200, body: '' });
    expect(answer.headers).toMatchObject({
      'access-control-allow-origin': '*',
      'access-control-allow-methods': 'GET,POST',
      'access-control-allow-headers': 'content-type,x-grpc-web',
      'content-length': '0',
    });
    expect(answer.headers['access-control-max-age']).toBeUndefined();
  });

  test('without an origin there is no header', async () => {
    const { port } = await startServer();
    expect((await post(port, '[]')).headers['access-control-allow-origin']).toBeUndefined();
  });
});

describe('a list of origins', () => {
  const config = { allowedOrigins: ['http://other.example', origin] };

  test('one of them is echoed', async () => {
    const { port } = await startServer({ config });
    const { headers } = await post(port, '[]', { origin });
    expect(headers).toMatchObject({
      'access-control-allow-origin': origin,
      'access-control-allow-headers': 'content-type,x-grpc-web',
      vary: 'origin',
    });
  });

  test.each([
    ['GET', '/api/v2/traces'],
    ['POST', '/api/v2/spans'],
  ])('a preflight of %s %s is allowed to one of them', async (method, path) => {
    const { port } = await startServer({ config });
    const { status, headers } = await send(port, 'OPTIONS', path, {
      headers: { origin, 'access-control-request-method': method },
    });
    expect(status).toBe(200);
    expect(headers).toMatchObject({ vary: 'origin', 'access-control-allow-origin': origin });
    expect(headers['access-control-allow-methods']).toContain(method);
    expect(headers['access-control-allow-headers']).toContain('content-type');
    expect(headers['access-control-allow-credentials']).toBeUndefined();
  });

  test('another is served without any header', async () => {
    const { port } = await startServer({ config });
    const answers = [
      await post(port, '[]', { origin: 'http://evil.example' }),
      await send(port, 'OPTIONS', '/api/v2/spans', {
        headers: { ...preflight, origin: 'http://evil.example' },
      }),
    ];
    expect(answers.map((answer) => answer.status)).toEqual([202, 200]);
    for (const { headers } of answers) {
      expect(Object.keys(headers).filter((name) => name.startsWith('access-control'))).toEqual([]);
      expect(headers.vary).toBeUndefined();
    }
  });
});
