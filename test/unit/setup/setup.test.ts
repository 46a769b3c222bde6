/**
 * The setup script in a folder of its own, with an npm and a compiler that only write down that
 * they were called and leave behind what the real ones would.
 */
import { execFile } from 'node:child_process';
import { chmodSync, cpSync, existsSync, mkdirSync, mkdtempSync, readFileSync } from 'node:fs';
import { rmSync, utimesSync, writeFileSync } from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';

const REPOSITORY = fileURLToPath(new URL('../../..', import.meta.url));

const FAKE_NPM = `#!/usr/bin/env node
import * as fs from 'node:fs';
fs.appendFileSync('calls', 'npm ' + process.argv[2] + '\\n');
if (fs.existsSync('npm-fails')) process.exit(1);
fs.mkdirSync('node_modules/typescript/bin', { recursive: true });
fs.mkdirSync('node_modules/chdb', { recursive: true });
fs.copyFileSync('fake-tsc.mjs', 'node_modules/typescript/bin/tsc');
fs.writeFileSync('node_modules/typescript/package.json', '{"type": "module", "version": "7"}');
fs.copyFileSync('package-lock.json', 'node_modules/.package-lock.json');
`;
/** As the real one it writes only what its notes say is missing. */
const FAKE_TSC = `import * as fs from 'node:fs';
fs.appendFileSync('calls', 'tsc\\n');
if (fs.existsSync('tsc-fails')) process.exit(2);
fs.mkdirSync('dist', { recursive: true });
const notes = 'dist/.tsbuildinfo';
const known = fs.existsSync(notes) ? JSON.parse(fs.readFileSync(notes, 'utf8')) : {};
for (const name of fs.readdirSync('src')) {
  const text = fs.readFileSync('src/' + name, 'utf8');
  if (known[name] !== text) fs.writeFileSync('dist/' + name.replace(/ts$/, 'js'), text);
  known[name] = text;
}
fs.writeFileSync(notes, JSON.stringify(known));
`;

let root: string;
const at = (name: string): string => path.join(root, name);
const write = (name: string, text: string): void => writeFileSync(at(name), text);

function lockFile(version: string): string {
  const packages = {
    '': { name: 'scrubjay' },
    'node_modules/yaml': { version, integrity: `sha512-${version}` },
    'node_modules/for-another-system': { version: '1.0.0', optional: true },
  };
  return JSON.stringify({ packages });
}

beforeEach(() => {
  root = mkdtempSync(path.join(os.tmpdir(), 'scrubjay-setup-'));
  mkdirSync(at('bin'));
  mkdirSync(at('src'));
  mkdirSync(at('.dev'));
  cpSync(path.join(REPOSITORY, '.dev/setup.mjs'), at('.dev/setup.mjs'));
  write('bin/package.json', '{"type": "module"}');
  write('bin/npm', FAKE_NPM);
  chmodSync(at('bin/npm'), 0o755);
  write('fake-tsc.mjs', FAKE_TSC);
  write('package-lock.json', lockFile('1.0.0'));
  write('tsconfig.json', '{}');
  write('src/main.ts', 'main');
  write('src/other.ts', 'other');
});

afterEach(() => {
  rmSync(root, { recursive: true });
});

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

function setup(...args: string[]): Promise<Outcome> {
  const PATH = `${at('bin')}${path.delimiter}${process.env['PATH'] ?? ''}`;
  const env = { ...process.env, PATH };
  return new Promise((resolve) => {
    execFile(process.execPath, ['.dev/setup.mjs', ...args], { cwd: root, env }, (...result) => {
      const [error, stdout, stderr] = result;
      resolve({ code: Number(error?.code ?? 0), stdout, stderr });
    });
  });
}

/** What was called since the last look. */
function calls(): string[] {
  if (!existsSync(at('calls'))) return [];
  const lines = readFileSync(at('calls'), 'utf8').trimEnd().split('\n');
  rmSync(at('calls'));
  return lines;
}

describe('Setup', () => {
  test('installs and builds on a fresh clone, saying so, and leaves stdout alone', async () => {
    const { code, stdout, stderr } = await setup();
    expect([code, stdout]).toEqual([0, '']);
    expect(stderr.split('\n')).toEqual([
      'Installing packages; this may take a minute: the embedded ClickHouse engine is 540 MB.',
      'Building.',
      '',
    ]);
    expect(calls()).toEqual(['npm install', 'tsc']);
    expect(readFileSync(at('dist/main.js'), 'utf8')).toBe('main');
  });

  test('does nothing, silently, when everything is up to date', async () => {
    await setup();
    calls();
    // A checkout gives every file a new time.
    utimesSync(at('src/main.ts'), new Date(), new Date());
    expect(await setup()).toEqual({ code: 0, stdout: '', stderr: '' });
    expect(calls()).toEqual([]);
  });

  test('only builds when a source has changed', async () => {
    await setup();
    calls();
    write('src/main.ts', 'changed');
    await setup();
    expect(calls()).toEqual(['tsc']);
    expect(readFileSync(at('dist/main.js'), 'utf8')).toBe('changed');
  });

  test('removes what was built from a source that is gone', async () => {
    await setup();
    rmSync(at('src/other.ts'));
    await setup();
    expect(existsSync(at('dist/other.js'))).toBe(false);
    expect(existsSync(at('dist/main.js'))).toBe(true);
  });

  test('builds again what was deleted from dist', async () => {
    await setup();
    rmSync(at('dist/other.js'));
    await setup();
    expect(readFileSync(at('dist/other.js'), 'utf8')).toBe('other');
  });

  test('installs when the lock file asks for another version', async () => {
    await setup();
    calls();
    write('package-lock.json', lockFile('2.0.0'));
    await setup();
    expect(calls()).toEqual(['npm install']);
  });

  test('installs again after an installation that was cut short', async () => {
    await setup();
    calls();
    rmSync(at('node_modules/.package-lock.json'));
    await setup();
    expect(calls()).toEqual(['npm install']);
  });

  test('installs only when asked for that', async () => {
    await setup('install');
    expect(calls()).toEqual(['npm install']);
  });

  test('says in a sentence that packages cannot be installed, and builds nothing', async () => {
    write('npm-fails', '');
    const { code, stderr } = await setup();
    expect(code).toBe(1);
    expect(stderr.trimEnd().split('\n').at(-1)).toMatch(/^setup: npm install failed, see above\./);
    expect(calls()).toEqual(['npm install']);
  });

  test('says in a sentence that the build failed, and builds the next time', async () => {
    write('tsc-fails', '');
    const { code, stderr } = await setup();
    expect(code).toBe(1);
    expect(stderr).toContain('setup: The build failed');
    rmSync(at('tsc-fails'));
    expect((await setup()).code).toBe(0);
    expect(calls()).toEqual(['npm install', 'tsc', 'tsc']);
  });

  test('installs and builds once when started twice at the same time', async () => {
    const outcomes = await Promise.all([setup(), setup()]);
    expect(outcomes.map(({ code }) => code)).toEqual([0, 0]);
    expect(calls()).toEqual(['npm install', 'tsc']);
  });
});
