import { describe, expect, test } from 'vitest';
import { QueryLimiter } from '../../../src/query/limiter.ts';
import { deferred } from '../http/test-server.ts';

/** Queries that run until they are ended. */
function started(limiter: QueryLimiter) {
  const order: string[] = [];
  const ends = new Map<string, (value: undefined) => void>();
  const run = (name: string, tenant = 'a', signal?: AbortSignal): Promise<string> =>
    limiter.run(tenant, signal, async () => {
      order.push(name);
      const end = deferred<undefined>();
      ends.set(name, end.resolve);
      await end.promise;
      return name;
    });
  const end = async (name: string): Promise<void> => {
    ends.get(name)!(undefined);
    for (let i = 0; i < 10; i++) await Promise.resolve();
  };
  return { order, run, end };
}

describe('QueryLimiter', () => {
  test('lets in as many as it may and the next when one leaves', async () => {
    const limiter = new QueryLimiter({ concurrency: 2, queueMax: 10, isShared: true });
    const { order, run, end } = started(limiter);
    const all = ['1', '2', '3', '4'].map((name) => run(name));
    expect(order).toEqual(['1', '2']);
    expect([limiter.running, limiter.waiting]).toEqual([2, 2]);
    await end('2');
    expect(order).toEqual(['1', '2', '3']);
    await end('1');
    await end('3');
    await end('4');
    expect(await Promise.all(all)).toEqual(['1', '2', '3', '4']);
    expect([limiter.running, limiter.waiting]).toEqual([0, 0]);
  });

  test('serves tenants in turn, however many one of them asks', async () => {
    const { order, run, end } = started(
      new QueryLimiter({ concurrency: 1, queueMax: 10, isShared: true }),
    );
    for (const name of ['a1', 'a2', 'a3', 'a4']) void run(name, 'a');
    void run('b1', 'b');
    void run('c1', 'c');
    void run('b2', 'b');
    for (const name of ['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']) await end(name);
    expect(order).toEqual(['a1', 'a2', 'b1', 'c1', 'a3', 'b2', 'a4']);
  });

  test('refuses a tenant that would take more places to wait than it leaves free', async () => {
    const limiter = new QueryLimiter({ concurrency: 1, queueMax: 4, isShared: true });
    const { order, run, end } = started(limiter);
    const flood = ['a1', 'a2', 'a3'].map((name) => run(name));
    await expect(run('a4')).rejects.toMatchObject({
      code: 'SCRUBJAY_ERR_OVERLOADED',
      message: 'Waiting queries of tenant a in flight: 2, limit 2 (SCRUBJAY_QUERY_CONCURRENCY)',
    });
    const others = [run('b1', 'b'), run('c1', 'c')];
    await expect(run('d1', 'd')).rejects.toMatchObject({ code: 'SCRUBJAY_ERR_OVERLOADED' });
    for (const name of ['a1', 'a2', 'b1', 'c1', 'a3']) await end(name);
    await Promise.all([...flood, ...others]);
    expect(order).toEqual(['a1', 'a2', 'b1', 'c1', 'a3']);
  });

  test('without tenants gives all places to whoever comes', async () => {
    const limiter = new QueryLimiter({ concurrency: 1, queueMax: 2, isShared: false });
    const { run, end } = started(limiter);
    const all = ['1', '2', '3'].map((name) => run(name));
    await expect(run('4')).rejects.toMatchObject({
      message: 'Waiting queries in flight: 2, limit 2 (SCRUBJAY_QUERY_CONCURRENCY)',
    });
    for (const name of ['1', '2', '3']) await end(name);
    expect(await Promise.all(all)).toEqual(['1', '2', '3']);
  });

  test('forgets one that gives up waiting', async () => {
    const limiter = new QueryLimiter({ concurrency: 1, queueMax: 10, isShared: true });
    const { order, run, end } = started(limiter);
    void run('1');
    const gone = new AbortController();
    const second = run('2', 'a', gone.signal);
    void run('3');
    gone.abort(new Error('gone'));
    await expect(second).rejects.toThrow('gone');
    expect(limiter.waiting).toBe(1);
    await end('1');
    expect(order).toEqual(['1', '3']);
    await expect(run('4', 'a', gone.signal)).rejects.toThrow('gone');
    await end('3');
    expect(limiter.running).toBe(0);
  });

  test('gives the place of a query that fails to the next', async () => {
    const limiter = new QueryLimiter({ concurrency: 1, queueMax: 10, isShared: true });
    const failing = limiter.run('a', undefined, () => Promise.reject(new Error('broken')));
    const next = limiter.run('a', undefined, () => Promise.resolve('fine'));
    await expect(failing).rejects.toThrow('broken');
    expect(await next).toBe('fine');
    expect(limiter.running).toBe(0);
  });
});
