/** The process as it is built, with a stand-in for the app: arguments, signals, exit codes. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));
const ARTIFACTS = path.join(REPOSITORY, 'test/artifacts');

const STAND_IN = `
import { CodedError } from './base/errors.js';
const mode = process.env.STAND_IN;
const forEver = () => new Promise(() => setInterval(() => {}, 1000));
export const createApp = (config) => ({
  async start() {
    if (mode === 'cannot-start') {
      throw new CodedError('SCRUBJAY_ERR_START', { detail: 'Port 9411 is taken (QUERY_PORT)' });
    }
    if (mode === 'bug') throw new TypeError('x is not a function');
    if (mode === 'never-ready') {
      console.log('starting');
      await forEver();
    }
    setInterval(() => {}, 1000);
    const { dataDir } = config.node;
    return { url: 'http://0.0.0.0:9411', dataDir, storage: 'ClickHouse 1.2', version: '9.8.7' };
  },
  async stop() {
    console.log('app stopped');
    if (mode === 'never-stops') await forEver();
  },
});
`;

let folder: string;
const children: ChildProcess[] = [];

beforeAll(() => {
  const dist = path.join(REPOSITORY, 'dist');
  if (!existsSync(path.join(dist, 'main.js'))) throw new Error('dist is missing: npm run build');
  mkdirSync(ARTIFACTS, { recursive: true });
  // Below the repository, so that packages are found.
  folder = mkdtempSync(path.join(ARTIFACTS, 'main-'));
  cpSync(dist, path.join(folder, 'dist'), { recursive: true });
  cpSync(path.join(REPOSITORY, 'package.json'), path.join(folder, 'package.json'));
  writeFileSync(path.join(folder, 'dist/app.js'), STAND_IN);
});

afterAll(() => {
  for (const child of children) child.kill('SIGKILL');
  rmSync(folder, { recursive: true });
});

class Program {
  readonly child: ChildProcess;
  stdout = '';
  stderr = '';
  readonly #closed: Promise<unknown[]>;

  constructor(args: string[], variables: Record<string, string>) {
    const env = { PATH: process.env['PATH'], ...variables };
    this.child = spawn(process.execPath, ['dist/main.js', ...args], { cwd: folder, env });
    children.push(this.child);
    this.child.stdout!.on('data', (chunk: Buffer) => (this.stdout += chunk.toString()));
    this.child.stderr!.on('data', (chunk: Buffer) => (this.stderr += chunk.toString()));
    this.#closed = once(this.child, 'close');
  }

  async printed(text: string): Promise<void> {
    while (!this.stdout.includes(text)) await once(this.child.stdout!, 'data');
  }

  /** The exit code, or the signal that ended it. */
  async ended(): Promise<unknown> {
    const [code, signal] = await this.#closed;
    return code ?? signal;
  }
}

const run = (args: string[], variables: Record<string, string> = {}): Program =>
  new Program(args, variables);

describe('The program', () => {
  test('prints its version', async () => {
    const manifest = readFileSync(path.join(REPOSITORY, 'package.json'), 'utf8');
    const { version } = JSON.parse(manifest) as { version: string };
    const program = run(['--version']);
    expect(await program.ended()).toBe(0);
    expect(program.stdout).toBe(`${version}\n`);
  });

  test('prints its usage', async () => {
    const program = run(['--help']);
    expect(await program.ended()).toBe(0);
    expect(program.stdout).toMatch(/^Usage: scrubjay \[serve/);
  });

  test('prints the settings in effect and, apart from them, its warnings', async () => {
    const program = run(['check-config'], { QUERY_PORT: '1', STORAGE_TYPE: 'mem' });
    expect(await program.ended()).toBe(0);
    expect(program.stdout).toMatch(/^QUERY_PORT +1 +port number +environment$/m);
    expect(program.stderr).toMatch(/^warning: STORAGE_TYPE has no effect: .*\n$/);
  });

  test.each([
    [['sevre'], {}, 'scrubjay: sevre is neither a command nor an option: did you mean serve?\n'],
    [
      ['check-config'],
      { SCRUBJAY_DATADIR: 'x', QUERY_ENABLED: 'maybe' },
      'scrubjay: SCRUBJAY_DATADIR is not a setting: did you mean SCRUBJAY_DATA_DIR?\n' +
        'scrubjay: QUERY_ENABLED should be true or false: was maybe\n',
    ],
    [[], { STAND_IN: 'cannot-start' }, 'scrubjay: Port 9411 is taken (QUERY_PORT)\n'],
  ])('ends with 1 and a sentence when it cannot do %j', async (args, variables, message) => {
    const program = run(args, variables);
    expect(await program.ended()).toBe(1);
    expect(program.stderr).toBe(message);
  });

  test('keeps the stack of a bug, and stops what had started', async () => {
    const program = run([], { STAND_IN: 'bug' });
    expect(await program.ended()).toBe(1);
    expect(program.stderr).toMatch(/^scrubjay: TypeError: x is not a function\nscrubjay: +at /);
    expect(program.stdout).toContain('app stopped');
  });
});

describe('The start', () => {
  test('is one JSON line where nobody watches', async () => {
    const program = run(['serve']);
    await program.printed('\n');
    const line = JSON.parse(program.stdout) as object;
    expect(line).toMatchObject({
      msg: 'Ready',
      url: 'http://localhost:9411',
      dataDir: 'data',
      storage: 'ClickHouse 1.2',
      version: '9.8.7',
    });
  });

  test('tells a person where everything is and how to try it', async () => {
    const program = run([], { SCRUBJAY_LOG_FORMAT: 'pretty', SCRUBJAY_DATA_DIR: '/srv/jay' });
    await program.printed('curl http');
    expect(program.stdout).toContain('Scrubjay 9.8.7 is ready');
    for (const word of ['http://localhost:9411\n', '/srv/jay\n', 'ClickHouse 1.2\n']) {
      expect(program.stdout).toContain(word);
    }
    const [, body, traceId] = /-d '(.*)' .*\/api\/v2\/trace\/([\da-f]{16})$/m.exec(program.stdout)!;
    const [span] = JSON.parse(body!) as [{ traceId: string; timestamp: number }];
    expect(span.traceId).toBe(traceId);
    expect(Math.abs(span.timestamp / 1000 - Date.now())).toBeLessThan(60_000);
  });
});

describe('A signal', () => {
  test.each([
    ['SIGTERM', 0],
    ['SIGINT', 130],
  ] as const)('%s stops the app and ends with %d', async (signal, code) => {
    const program = run([]);
    await program.printed('Ready');
    program.child.kill(signal);
    expect(await program.ended()).toBe(code);
    expect(program.stdout).toContain('app stopped');
    expect(program.stderr).toBe('');
  });

  test('while starting stops the app too', async () => {
    const program = run([], { STAND_IN: 'never-ready' });
    await program.printed('starting');
    program.child.kill('SIGTERM');
    expect(await program.ended()).toBe(0);
    expect(program.stdout).toContain('app stopped');
    expect(program.stdout).not.toContain('Ready');
  });

  test('after another one ends the process at once', async () => {
    const program = run([], { STAND_IN: 'never-stops' });
    await program.printed('Ready');
    program.child.kill('SIGINT');
    await program.printed('app stopped');
    program.child.kill('SIGTERM');
    expect(await program.ended()).toBe(143);
  });

  test('that arrives twice for one key press counts once', async () => {
    const program = run([], { STAND_IN: 'never-stops' });
    await program.printed('Ready');
    program.child.kill('SIGINT');
    await program.printed('app stopped');
    // What npm passes on comes some milliseconds after what the terminal has sent.
    program.child.kill('SIGINT');
    program.child.kill('SIGTERM');
    // The second SIGINT would have ended it with 130.
    expect(await program.ended()).toBe(143);
  });
});
