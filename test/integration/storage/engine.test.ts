/** The embedded engine for real: it survives what local processes send, and never outlives us. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs';
import { connect, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import process from 'node:process';
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from 'vitest';
import { systemClock, type Clock } from '../../../src/base/clock.ts';
import { Client, type ServerAddress } from '../../../src/storage/clickhouse/client.ts';
import { EmbeddedEngine } from '../../../src/storage/clickhouse/engine.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { createMetrics } from '../../../src/telemetry/metrics.ts';

const LIMITS = { timeoutMs: 10_000, memoryBytes: 200_000_000, threads: 1 };
const DIST = new URL('../../../dist/', import.meta.url);

class Subject {
  readonly client = new Client('scrubjay');
  readonly metrics = createMetrics();
  readonly downs: string[] = [];
  readonly engine: EmbeddedEngine;
  address: ServerAddress | undefined;

  constructor(dir: string, clock: Clock = systemClock) {
    const logger = createLogger('silent', false);
    const { metrics } = this;
    const database = 'scrubjay';
    this.engine = new EmbeddedEngine(
      { dir, database, memoryBytes: 1024 ** 3, logger, metrics, clock, random: () => 0 },
      {
        up: async (address) => {
          this.address = address;
          await this.client.connect(address);
        },
        down: (reason) => {
          this.downs.push(reason);
        },
      },
    );
  }

  async select(expression: string): Promise<string> {
    const answer = await this.client.query(`SELECT ${expression} FORMAT TSV`, { limits: LIMITS });
    return answer.toString().trimEnd();
  }

  async stop(): Promise<void> {
    await this.client.close();
    await this.engine.stop();
  }
}

/** A zombie that nobody reaps has ended. */
function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  if (process.platform !== 'linux') return true;
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

function pidOf(subject: Subject): number {
  const { pid } = subject.engine;
  if (pid === undefined) throw new Error('no child');
  return pid;
}

const portOf = (subject: Subject): number => Number(new URL(subject.address?.url ?? '').port);

const directories: string[] = [];
function directory(): string {
  const path = join(mkdtempSync(join(tmpdir(), 'scrubjay-engine-')), 'engine');
  directories.push(join(path, '..'));
  return path;
}

afterAll(() => {
  for (const path of directories) rmSync(path, { recursive: true, force: true });
});

describe('EmbeddedEngine, running', () => {
  const dir = directory();
  const subject = new Subject(dir);
  beforeAll(() => subject.engine.start());
  afterAll(() => subject.stop());

  test('answers on 127.0.0.1', async () => {
    await expect(subject.select('1 + 1')).resolves.toBe('2');
    expect(subject.address?.url).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/);
  });

  test('keeps directory, configuration and password to its user', () => {
    const modes = ['', 'engine.xml', 'engine-users.xml'].map((name) =>
      (statSync(join(dir, name)).mode & 0o777).toString(8),
    );
    expect(modes).toEqual(['700', '600', '600']);
    expect(readFileSync(join(dir, 'engine-users.xml'), 'utf8')).not.toContain(
      subject.address?.password,
    );
  });

  const basic = (text: string): string => `Basic ${Buffer.from(text).toString('base64')}`;
  test.each([
    ['no credentials', {}],
    ['the user that has no password', { Authorization: basic('default:') }],
    ['a wrong password', { Authorization: basic('scrubjay:wrong') }],
    ['credentials in other headers', { 'X-ClickHouse-User': 'default', 'X-ClickHouse-Key': '' }],
  ])('answers 404 to %s', async (_, headers) => {
    const url = `${subject.address?.url ?? ''}/?query=SELECT%201`;
    const answers = await Promise.all([
      fetch(url, { headers }),
      fetch(url, { method: 'POST', headers, body: 'SELECT 1' }),
      fetch(`${url}&user=default&password=`, { headers }),
    ]);
    expect(answers.map(({ status }) => status)).toEqual([404, 404, 404]);
  });

  test('allows no way to files and other servers', async () => {
    const codes = await Promise.all(
      [
        `* FROM file('${dir}/status', 'LineAsString')`,
        "* FROM url('http://127.0.0.1:1/', 'LineAsString')",
        "* FROM remote('127.0.0.1:1', system.one)",
      ].map((select) => subject.select(select).catch((error: { code?: number }) => error.code)),
    );
    expect(codes).toEqual([497, 497, 497]);
  });

  test('survives malformed, cut and reset requests', async () => {
    const pid = pidOf(subject);
    const authorization = `Authorization: ${basic(
      `${subject.address?.username ?? ''}:${subject.address?.password ?? ''}`,
    )}`;
    for (const [kind, bytes] of Object.entries(hostileRequests(authorization))) {
      const ends = await Promise.all(
        Array.from({ length: 20 }, (_, i) => sendAndReset(portOf(subject), bytes, i % 2 === 0)),
      );
      expect(ends, kind).toHaveLength(20);
    }
    await expect(subject.select('1')).resolves.toBe('1');
    expect(subject.engine.pid).toBe(pid);
    expect(subject.downs).toEqual([]);
  });

  test('survives reads that are aborted', async () => {
    const pid = pidOf(subject);
    await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const signal = AbortSignal.timeout(5 + i * 5);
        const sql = 'SELECT number, toString(number) FROM numbers(1000000000) FORMAT RowBinary';
        const options = { limits: LIMITS, signal, answerBytesMax: 1e12 };
        await expect(subject.client.query(sql, options)).rejects.toMatchObject({
          failure: 'aborted',
        });
      }),
    );
    await vi.waitFor(async () => {
      const sql = "countIf(query LIKE '%1000000000%') FROM system.processes";
      // The question itself is one of them.
      expect(Number(await subject.select(sql))).toBeLessThanOrEqual(1);
    }, 5000);
    expect(subject.engine.pid).toBe(pid);
  });

  test('refuses a second engine on its directory and goes on', async () => {
    // Time runs 20 times faster for it: it waits 1 s instead of 20 for the lock.
    const clock = { ...systemClock, monotonicMs: () => systemClock.monotonicMs() * 20 };
    const second = new Subject(dir, clock);
    const failure = await second.engine.start().catch((error: unknown) => error);
    await second.stop();
    expect(failure).toMatchObject({
      code: 'SCRUBJAY_ERR_START',
      message: expect.stringContaining(`already in use by pid ${pidOf(subject)}`) as unknown,
    });
    await expect(subject.select('3')).resolves.toBe('3');
  });

  test('comes back after SIGKILL at once and with a new password', async () => {
    const { address } = subject;
    const pid = pidOf(subject);
    process.kill(pid, 'SIGKILL');
    await vi.waitFor(() => expect(subject.address).not.toBe(address), 20_000);
    await expect(subject.select('4')).resolves.toBe('4');
    expect(subject.engine.pid).not.toBe(pid);
    expect(subject.address?.password).not.toBe(address?.password);
    expect(subject.downs).toEqual([expect.stringContaining('SIGKILL')]);
    const { values } = await subject.metrics.engineRestarts.get();
    expect(values[0]?.value).toBe(1);
  });

  test.runIf(existsSync('/proc/self/autogroup'))('gives way to its parent', () => {
    const group = readFileSync(`/proc/${pidOf(subject)}/autogroup`, 'utf8');
    expect(group).toMatch(/ nice 3\n$/);
  });

  test('leaves SIGTERM, SIGINT and SIGHUP to its parent', async () => {
    const pid = pidOf(subject);
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) process.kill(pid, signal);
    await expect(subject.select('5')).resolves.toBe('5');
    expect(subject.engine.pid).toBe(pid);
  });
});

describe('EmbeddedEngine, ending', () => {
  const subjects: Subject[] = [];
  afterEach(() => Promise.all(subjects.splice(0).map((subject) => subject.stop())));
  const create = (dir = directory()): Subject => {
    const subject = new Subject(dir);
    subjects.push(subject);
    return subject;
  };

  test('leaves no process and says nothing of a crash', async () => {
    const subject = create();
    await subject.engine.start();
    const pid = pidOf(subject);
    await subject.stop();
    await subject.stop();
    expect(isAlive(pid)).toBe(false);
    expect(subject.downs).toEqual([]);
  });

  test('can be stopped while it starts', async () => {
    const subject = create();
    const started = subject.engine.start().then(
      () => 'started',
      () => 'refused',
    );
    await vi.waitFor(() => expect(subject.engine.pid).toBeDefined());
    const pid = pidOf(subject);
    await subject.stop();
    expect(isAlive(pid)).toBe(false);
    await expect(started).resolves.toMatch(/started|refused/);
  });

  test('says what the engine says when it does not start', async () => {
    const dir = directory();
    // The engine wants a file of that name: not to be taken for another engine's lock.
    mkdirSync(join(dir, 'status'), { recursive: true });
    await expect(create(dir).engine.start()).rejects.toMatchObject({
      code: 'SCRUBJAY_ERR_START',
      message: expect.stringMatching(/exit code 70: .*Is a directory/s) as unknown,
    });
  });

  test('goes within 5 s when its parent is killed', async () => {
    const { parent, pid } = await inAnotherProcess(directory());
    expect(isAlive(pid)).toBe(true);
    parent.kill('SIGKILL');
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), 5000);
  });

  test('takes the place of an engine that hangs, when the parent of that is gone', async () => {
    const dir = directory();
    const { parent, pid } = await inAnotherProcess(dir);
    process.kill(pid, 'SIGSTOP');
    parent.kill('SIGKILL');
    await once(parent, 'exit');
    const next = new Subject(dir);
    await next.engine.start();
    expect(isAlive(pid)).toBe(false);
    await expect(next.select('5')).resolves.toBe('5');
    await next.stop();
  });
});

/** An engine on the directory, and the process that started it. */
async function inAnotherProcess(dir: string): Promise<{ parent: ChildProcess; pid: number }> {
  const script = `
    const load = (path) => import(new URL(path, ${JSON.stringify(DIST.href)}).href);
    const { EmbeddedEngine } = await load('storage/clickhouse/engine.js');
    const { systemClock } = await load('base/clock.js');
    const silent = () => {};
    const logger = { debug: silent, info: silent, warn: silent, error: silent };
    const engine = new EmbeddedEngine(
      { dir: ${JSON.stringify(dir)}, database: 'scrubjay', memoryBytes: 1e9, logger,
        metrics: { engineRestarts: { inc: silent } }, clock: systemClock, random: Math.random },
      { up: async () => {}, down: silent },
    );
    await engine.start();
    console.log(engine.pid);
    setInterval(silent, 1000);`;
  const parent = spawn(process.execPath, ['--input-type=module', '-e', script], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const pid = await new Promise<number>((settle, reject) => {
    parent.stdout.once('data', (text: Buffer) => settle(Number(text.toString())));
    parent.once('exit', () => reject(new Error('the parent did not start')));
  });
  return { parent, pid };
}

function hostileRequests(authorization: string): Record<string, string | Buffer> {
  const post = 'POST /?query=SELECT%201 HTTP/1.1\r\nHost: x\r\n';
  const insert =
    'POST /?query=INSERT%20INTO%20scrubjay.x%20FORMAT%20Native HTTP/1.1\r\n' +
    `Host: x\r\n${authorization}\r\n`;
  const read = 'GET /?query=SELECT%20number%20FROM%20numbers(100000000) HTTP/1.1\r\nHost: x\r\n';
  return {
    'nothing at all': '',
    'one byte': 'G',
    'not HTTP': '\u0016\u0003\u0001\u0002\u0000\u0001\u0000\u0001\u00FC\u0003\u0003',
    zeros: Buffer.alloc(4096),
    'half a request line': 'GET /?query=SEL',
    'half a header': `${post}Content-Le`,
    'no HTTP version': 'GET /\r\n\r\n',
    'an unknown method': 'BREW / HTTP/1.1\r\nHost: x\r\n\r\n',
    'a header of 1 MiB': `${post}X: ${'x'.repeat(1024 * 1024)}`,
    '2,000 headers': `${post}${'A: b\r\n'.repeat(2000)}\r\n`,
    'a negative length': `${post}Content-Length: -1\r\n\r\nx`,
    'a length that is too large': `${post}Content-Length: 99999999999999999999\r\n\r\nx`,
    'half a body': `${post}Content-Length: 1000\r\n\r\nhalf`,
    'a chunk size that is none': `${post}Transfer-Encoding: chunked\r\n\r\nzz\r\n`,
    'half a chunk': `${post}Transfer-Encoding: chunked\r\n\r\n400\r\nhalf`,
    'two requests in one': `${post}Content-Length: 0\r\n\r\nGET /ping HTTP/1.1\r\n\r\nGET`,
    'half a body with credentials': `${post}${authorization}\r\nContent-Length: 9000\r\n\r\nSEL`,
    'half an insert': `${insert}Content-Length: 9000\r\n\r\nxxxx`,
    'half a chunked insert': `${insert}Transfer-Encoding: chunked\r\n\r\n1000\r\nhalf`,
    'a long answer that nobody reads': `${read}${authorization}\r\n\r\n`,
  };
}

/** @param atOnce reset without waiting for the engine to see the bytes */
function sendAndReset(port: number, bytes: string | Buffer, atOnce: boolean): Promise<void> {
  return new Promise((settle) => {
    const socket: Socket = connect(port, '127.0.0.1');
    const end = (): void => {
      socket.resetAndDestroy();
    };
    socket.on('error', () => {});
    socket.on('close', () => settle());
    socket.on('connect', () => {
      socket.write(bytes, () => (atOnce ? end() : setImmediate(end)));
    });
  });
}
