/** Builds a client outside the source folder, once for each state of its sources. */
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readdirSync, readFileSync } from 'node:fs';
import { renameSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { atExit, run } from './process.mjs';

const SOURCES = path.dirname(import.meta.dirname);
const CACHE = path.join(tmpdir(), 'scrubjay-live');
/** What an editor or a build by hand leaves in a source folder. */
const NOT_A_SOURCE = /^(?:\..*|target|venv|__pycache__)$/;
const TOOL_TIMEOUT_MS = 60_000;

/**
 * Answers the folder with the finished build, or undefined when there is none: then the report
 * has got a skip for a tool that is not here, or a failure with the end of the build's output.
 */
export async function prepare(report, client, { tools, build }) {
  for (const tool of tools) {
    const missing = await whyMissing(tool);
    if (missing !== undefined) {
      report.skip(client, missing);
      return undefined;
    }
  }
  try {
    const folder = await buildOnce(client, build);
    report.pass(`${client}: build`);
    return folder;
  } catch (error) {
    report.fail(`${client}: build`, error.message);
    return undefined;
  }
}

/** A tool is the command that shows its version; `minimum` goes with a pattern for the number. */
async function whyMissing({ command, args, pattern, minimum }) {
  let shown;
  try {
    shown = await run(command, args, { timeoutMs: TOOL_TIMEOUT_MS });
  } catch (error) {
    return error.code === 'ENOENT' ? `no ${command} here` : error.message.split('\n')[0];
  }
  if (pattern === undefined) return undefined;
  const version = Number(pattern.exec(shown.output)?.[1]);
  return version >= minimum ? undefined : `${command} ${version} is here, ${minimum} is needed`;
}

async function buildOnce(client, build) {
  const sources = path.join(SOURCES, client);
  const files = filesBelow(sources);
  const finished = path.join(CACHE, `${client}-${hashOf(sources, files)}`);
  if (existsSync(finished)) return finished;

  // Only what is complete gets the final name, so a build that was cut short is never taken.
  const attempt = `${finished}.${process.pid}`;
  const remove = () => rmSync(attempt, { recursive: true, force: true, maxRetries: 3 });
  const forget = atExit(remove);
  try {
    for (const file of files) {
      const copy = path.join(attempt, file);
      mkdirSync(path.dirname(copy), { recursive: true });
      cpSync(path.join(sources, file), copy);
    }
    await build(attempt);
    publish(attempt, finished);
  } finally {
    remove();
    forget();
  }
  return finished;
}

function publish(attempt, finished) {
  try {
    renameSync(attempt, finished);
  } catch (error) {
    // Another run has built the same meanwhile.
    if (!existsSync(finished)) throw error;
  }
}

function filesBelow(folder, below = '') {
  const found = [];
  for (const entry of readdirSync(path.join(folder, below), { withFileTypes: true })) {
    if (NOT_A_SOURCE.test(entry.name)) continue;
    const name = path.join(below, entry.name);
    if (entry.isDirectory()) found.push(...filesBelow(folder, name));
    else found.push(name);
  }
  return found.toSorted((a, b) => (a < b ? -1 : 1));
}

function hashOf(folder, files) {
  const hash = createHash('sha256');
  for (const file of files) {
    const bytes = readFileSync(path.join(folder, file));
    hash.update(`${file}\0${bytes.length}\0`).update(bytes);
  }
  return hash.digest('hex').slice(0, 12);
}
