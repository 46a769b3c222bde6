#!/usr/bin/env node
/**
 * Makes a fresh clone ready: installs the packages of package-lock.json and builds src to dist,
 * each only when something has changed. Plain JavaScript without packages: there are none yet.
 *
 *   node .dev/setup.mjs            install and build
 *   node .dev/setup.mjs install    install only
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import * as os from 'node:os';
import * as path from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';

const ROOT = path.dirname(path.dirname(fileURLToPath(import.meta.url)));
const NODE_MIN = [20, 19];
const STAMP = 'dist/.stamp';
const TSC = 'node_modules/typescript/bin/tsc';

const inRoot = (name) => path.join(ROOT, name);
const say = (line) => process.stderr.write(`${line}\n`);

/** A sentence for the person who ran the command. */
class SetupError extends Error {}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
  if (major < NODE_MIN[0] || (major === NODE_MIN[0] && minor < NODE_MIN[1])) {
    const needed = NODE_MIN.join('.');
    throw new SetupError(`Node.js ${needed} or newer is needed; this is ${process.versions.node}.`);
  }
}

function readJson(name) {
  try {
    return JSON.parse(fs.readFileSync(inRoot(name), 'utf8'));
  } catch {
    return undefined;
  }
}

/**
 * npm lists what it has installed once it is done: compared with the lock file that tells a
 * complete installation, whoever ran it, from a missing, old or interrupted one.
 */
function isInstalled() {
  const wanted = readJson('package-lock.json')?.packages;
  const installed = readJson('node_modules/.package-lock.json')?.packages;
  if (wanted === undefined) throw new SetupError('package-lock.json is missing or not JSON.');
  if (installed === undefined) return false;
  const names = Object.keys(wanted).filter((name) => name !== '');
  return names.every((name) => {
    const found = installed[name];
    // Packages for other systems are optional and absent here.
    if (found === undefined) return wanted[name].optional === true;
    return found.version === wanted[name].version && found.integrity === wanted[name].integrity;
  });
}

async function install() {
  if (isInstalled()) return;
  say('Installing packages; this may take a minute: the embedded ClickHouse engine is 540 MB.');
  // Not `npm ci`: it refuses a lock file without every system's variant of an optional package,
  // which npm writes wherever a registry does not carry them all. This installs what is locked.
  // Development packages too, whatever NODE_ENV says: the compiler is one.
  const args = ['install', '--no-save', '--no-audit', '--no-fund'];
  args.push('--include=dev', '--include=optional', '--loglevel=error');
  const code = await run('npm', args);
  if (code !== 0) {
    throw new SetupError(
      'npm install failed, see above. Is the registry reachable, and is there 1 GB of disk?',
    );
  }
  if (!fs.existsSync(inRoot('node_modules/chdb'))) {
    say('The embedded engine is not there for this system: set CLICKHOUSE_URL to use a server.');
  }
}

function listFiles(folder) {
  if (!fs.existsSync(inRoot(folder))) return [];
  return fs
    .readdirSync(inRoot(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(ROOT, path.join(entry.parentPath ?? entry.path, entry.name)))
    .toSorted();
}

/** Of everything that decides what the build makes; contents, as git sets times as it likes. */
function sourceHash() {
  const hash = createHash('sha256');
  const compiler = readJson('node_modules/typescript/package.json')?.version ?? '';
  hash.update(compiler);
  for (const name of ['tsconfig.json', ...listFiles('src')]) {
    hash.update(`\0${name}\0`);
    hash.update(fs.readFileSync(inRoot(name)));
  }
  return hash.digest('hex');
}

const outputOf = (source) => source.replace(/^src/, 'dist').replace(/\.ts$/, '.js');
const sources = () => listFiles('src').filter((name) => name.endsWith('.ts'));

function isBuilt() {
  let stamp = '';
  try {
    stamp = fs.readFileSync(inRoot(STAMP), 'utf8');
  } catch {
    return false;
  }
  return stamp === sourceHash() && sources().every((name) => fs.existsSync(inRoot(outputOf(name))));
}

async function build() {
  if (isBuilt()) return;
  say('Building.');
  // The hash before the build: what is edited meanwhile is built the next time.
  const hash = sourceHash();
  fs.rmSync(inRoot(STAMP), { force: true });
  if (!sources().every((name) => fs.existsSync(inRoot(outputOf(name))))) {
    // Otherwise the compiler believes its notes and leaves out what has been deleted.
    fs.rmSync(inRoot('dist/.tsbuildinfo'), { force: true });
  }
  const code = await run(process.execPath, [inRoot(TSC), '-p', ROOT]);
  if (code !== 0) throw new SetupError('The build failed: see the messages of tsc above.');
  removeStale();
  fs.writeFileSync(inRoot(STAMP), hash);
}

/** Files of sources that are gone; a running server may still need all the others. */
function removeStale() {
  const kept = new Set(sources().flatMap((name) => [outputOf(name), `${outputOf(name)}.map`]));
  for (const name of listFiles('dist')) {
    const compiled = name.endsWith('.js') || name.endsWith('.js.map');
    if (compiled && !kept.has(name)) fs.rmSync(inRoot(name), { force: true });
  }
}

function run(command, args) {
  return new Promise((resolve, reject) => {
    // stdout is for what the started program says.
    const child = spawn(command, args, { cwd: ROOT, stdio: ['ignore', 2, 2] });
    child.on('error', (error) => {
      reject(new SetupError(`${command} cannot be run: ${error.message}.`));
    });
    const pass = (signal) => child.kill(signal);
    process.on('SIGINT', pass).on('SIGTERM', pass);
    child.on('exit', (code, signal) => {
      process.off('SIGINT', pass).off('SIGTERM', pass);
      resolve(signal === null ? code : 1);
    });
  });
}

const isAlive = (pid) => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return error.code === 'EPERM';
  }
};

/** Two commands started at once must not install into the same folder. */
async function withLock(work) {
  const key = createHash('sha256').update(ROOT).digest('hex').slice(0, 16);
  const lock = path.join(os.tmpdir(), `scrubjay-setup-${key}.lock`);
  for (let told = false; !tryLock(lock); told = true) {
    if (!told) say(`Waiting for another setup of this folder (${lock}).`);
    await sleep(200);
  }
  try {
    await work();
  } finally {
    fs.rmSync(lock, { force: true });
  }
}

/** A lock left behind by a process that is gone is removed; the caller tries again. */
function tryLock(lock) {
  try {
    fs.writeFileSync(lock, String(process.pid), { flag: 'wx' });
    return true;
  } catch (error) {
    if (error.code !== 'EEXIST') throw error;
  }
  try {
    const owner = Number(fs.readFileSync(lock, 'utf8'));
    if (owner > 0 && !isAlive(owner)) fs.rmSync(lock, { force: true });
  } catch {
    // Released in between.
  }
  return false;
}

try {
  checkNode();
  const installOnly = process.argv[2] === 'install';
  const ready = () => isInstalled() && (installOnly || isBuilt());
  if (!ready()) {
    await withLock(async () => {
      await install();
      if (!installOnly) await build();
    });
  }
} catch (error) {
  say(error instanceof SetupError ? `setup: ${error.message}` : `setup: ${error.stack}`);
  process.exitCode = 1;
}
