import { expect, test } from 'vitest';
import type { PushOutcome } from '../../../src/distributor/outcome.ts';
import { RawClient, deferred, post, rawPost, startServer, statuses } from './test-server.ts';

test('a request in flight is answered, told to close, and waited for', async () => {
  const { port, server, distributor } = await startServer();
  const pushed = deferred<void>();
  const held = deferred<PushOutcome>();
  distributor.outcome = () => {
    pushed.resolve();
    return held.promise;
  };
  const answered = post(port, '[1]', { connection: 'keep-alive' });
  await pushed.promise;
  const drain = server.drain();
  expect(server.draining).toBe(true);
  const early = await Promise.race([drain, new Promise((resolve) => setImmediate(resolve, 'no'))]);
  expect(early).toBe('no');
  held.resolve({ kind: 'accepted' });
  const answer = await answered;
  expect(answer.status).toBe(202);
  expect(answer.headers.connection).toBe('close');
  await drain;
});

test('a connection that was not told to close is still served once, then closed', async () => {
  const { port, server } = await startServer();
  const client = new RawClient(port).write(rawPost('[]'));
  await client.until(/keep-alive/i);
  const drain = server.drain();
  await expect.poll(() => server.app.server.listening).toBe(false);
  const received = await client.write(rawPost('[]')).untilClosed();
  expect(statuses(received)).toEqual([202, 202]);
  expect(received).toMatch(/202 Accepted(?:.|\r\n)*202 Accepted(?:.|\r\n)*connection: close/);
  await drain;
});

test('idle connections are closed at the end, new ones not taken', async () => {
  const { port, server } = await startServer();
  const idle = new RawClient(port).write(rawPost('[]'));
  await idle.until(/202 Accepted/);
  const drain = server.drain();
  await expect.poll(() => server.app.server.listening).toBe(false);
  await expect(post(port, '[]')).rejects.toThrow(/ECONNREFUSED/);
  expect(idle.closed).toBe(false);
  await drain;
  expect(statuses(await idle.untilClosed())).toEqual([202]);
});

test('during the delay everything is served, with word to close', async () => {
  const waits: Array<{ ms: number; end: () => void }> = [];
  const { port, server } = await startServer({
    config: { drainDelayMs: 5000 },
    clock: {
      nowMs: () => 0,
      monotonicMs: () => 0,
      sleep: (ms) =>
        new Promise((resolve) => {
          waits.push({ ms, end: resolve });
        }),
    },
  });
  const drain = server.drain();
  const answer = await post(port, '[]', { connection: 'keep-alive' });
  expect(answer.status).toBe(202);
  expect(answer.headers.connection).toBe('close');
  expect(waits.map((wait) => wait.ms)).toEqual([5000]);
  waits[0]?.end();
  await drain;
});

test('a refused request with a large body still gets its answer when the connection closes', async () => {
  const { port, server } = await startServer();
  server.admission.close();
  const answer = await post(port, Buffer.alloc(8 * 1024 ** 2), { connection: 'close' });
  expect(answer.status).toBe(503);
  expect(answer.headers['x-scrubjay-error']).toBe('SCRUBJAY_ERR_DRAINING');
});
