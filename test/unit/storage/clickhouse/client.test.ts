import { Readable } from 'node:stream';
import { describe, expect, test } from 'vitest';
import { StorageError } from '../../../../src/storage/contract.ts';
import {
  Client,
  failureOfCode,
  toStorageError,
} from '../../../../src/storage/clickhouse/client.ts';

const LIMITS = { timeoutMs: 1000, memoryBytes: 1e8, threads: 1 };

describe('failureOfCode', () => {
  test.each([
    ['retry', [0, 159, 202, 203, 209, 210, 242, 252, 394, 999]],
    ['memory', [241]],
    ['schema', [16, 47, 60, 81]],
    ['auth', [192, 193, 497, 516]],
    ['poison', [6, 26, 27, 33, 41, 53, 62, 70, 117, 131]],
    ['retry', [1, 395, 123_456]],
  ])('says %s for %j', (failure, codes) => {
    expect(codes.map(failureOfCode)).toEqual(codes.map(() => failure));
  });
});

describe('toStorageError', () => {
  test('reads the code from what the server says', () => {
    const error = toStorageError(new Error('Code: 241. DB::Exception: too much (MEMORY)'));
    expect(error).toMatchObject({ failure: 'memory', code: 241 });
  });

  test('takes lost connections for something to try again, with a cause to show', () => {
    const cause = Object.assign(new AggregateError([]), { code: 'ECONNREFUSED' });
    expect(toStorageError(cause)).toMatchObject({
      failure: 'retry',
      code: 0,
      message: 'ECONNREFUSED',
      cause,
    });
  });

  test('says aborted whatever the error is when the caller aborted', () => {
    const error = toStorageError(new Error('socket hang up'), AbortSignal.abort());
    expect(error).toMatchObject({ failure: 'aborted', code: 0 });
  });

  test('leaves a StorageError as it is', () => {
    const error = new StorageError('poison', 6, 'x');
    expect(toStorageError(error, AbortSignal.abort())).toBe(error);
  });
});

describe('Client', () => {
  test('fails at once before it is connected, and destroys the body', async () => {
    const client = new Client('scrubjay');
    const body = Readable.from(['x']);
    const expected = { failure: 'retry', code: 0 };
    await expect(client.command('SELECT 1')).rejects.toMatchObject(expected);
    await expect(client.query('SELECT 1', { limits: LIMITS })).rejects.toMatchObject(expected);
    await expect(client.insert('INSERT', body, { queryId: 'q' })).rejects.toMatchObject(expected);
    expect(body.destroyed).toBe(true);
  });

  test('remembers why nobody answers', async () => {
    const client = new Client('scrubjay');
    const address = { username: 'u', password: 'p', idleSocketMs: 1000 };
    await client.connect({ ...address, url: 'http://127.0.0.1:1' });
    await expect(client.command('SELECT 1')).rejects.toMatchObject({ failure: 'retry', code: 0 });
    expect(client.unreachable).toContain('ECONNREFUSED');
    await client.close();
  });

  test('does not send what is aborted already', async () => {
    const client = new Client('scrubjay');
    const signal = AbortSignal.abort();
    await expect(client.command('SELECT 1', { signal })).rejects.toMatchObject({
      failure: 'aborted',
    });
  });
});
