/** Child processes with bounded waits, none of which outlives this one. */
import { spawn } from 'node:child_process';
import { setTimeout as sleep } from 'node:timers/promises';

const KEPT_OUTPUT = 200_000;
const STOP_GRACE_MS = 15_000;
const SIGNALS = { SIGHUP: 1, SIGINT: 2, SIGTERM: 15 };

const running = new Set();
const cleanups = new Set();

/** The function must be synchronous: it also runs when a signal ends this process. */
export function atExit(cleanup) {
  cleanups.add(cleanup);
  return () => cleanups.delete(cleanup);
}

process.on('exit', () => {
  for (const child of running) child.kill('SIGKILL');
  for (const cleanup of cleanups) {
    try {
      cleanup();
    } catch (error) {
      console.error(`Not cleaned up: ${error.message}`);
    }
  }
});
for (const [signal, number] of Object.entries(SIGNALS)) {
  process.on(signal, () => process.exit(128 + number));
}

/** A started program. It leads a process group, so that its own children end with it. */
class Child {
  stdout = '';
  /** Both streams in the order of arrival, for messages. */
  output = '';
  #process;

  constructor(command, args, { cwd, env } = {}) {
    this.name = command;
    this.#process = spawn(command, args, {
      cwd,
      env: { ...process.env, ...env },
      detached: true,
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    running.add(this);
    this.#process.stdout.setEncoding('utf8').on('data', (text) => {
      this.stdout = (this.stdout + text).slice(-KEPT_OUTPUT);
      this.#keep(text);
    });
    this.#process.stderr.setEncoding('utf8').on('data', (text) => this.#keep(text));
    this.ended = new Promise((resolve) => {
      this.#process.on('error', (error) => this.#end(resolve, { error }));
      this.#process.on('close', (code, signal) => this.#end(resolve, { code, signal }));
    });
  }

  #keep(text) {
    this.output = (this.output + text).slice(-KEPT_OUTPUT);
  }

  #end(resolve, end) {
    this.end ??= end;
    running.delete(this);
    resolve(end);
  }

  kill(signal) {
    if (this.#process.pid === undefined) return;
    try {
      process.kill(-this.#process.pid, signal);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error;
    }
  }

  /** Answers how it ended, or undefined when it has not by then. */
  async waitForEnd(timeoutMs) {
    const timer = new AbortController();
    const late = sleep(timeoutMs, undefined, { signal: timer.signal }).catch(() => undefined);
    const end = await Promise.race([this.ended, late]);
    timer.abort();
    return end;
  }

  /** Polls until the function answers something; fails when the program ends before that. */
  async waitUntil(what, timeoutMs, find) {
    const deadline = Date.now() + timeoutMs;
    for (;;) {
      const found = await find();
      if (found) return found;
      if (this.end !== undefined) throw new Error(`${what}: it ended\n${tail(this.output)}`);
      if (Date.now() >= deadline) {
        throw new Error(`${what}: not within ${timeoutMs / 1000} s\n${tail(this.output)}`);
      }
      await sleep(100);
    }
  }

  /** Asks the leader alone to end, as an operator would; the group is killed when it does not. */
  async stop() {
    if (this.end === undefined) this.#process.kill('SIGTERM');
    const end = await this.waitForEnd(STOP_GRACE_MS);
    this.kill('SIGKILL');
    return end ?? (await this.ended);
  }
}

export function start(command, args, options) {
  return new Child(command, args, options);
}

/** Runs a program to its end. Throws, with the tail of its output, unless it exits with 0. */
export async function run(command, args, { timeoutMs, ...options }) {
  const child = new Child(command, args, options);
  const end = await child.waitForEnd(timeoutMs);
  const called = [command, ...args].join(' ');
  if (end === undefined) {
    child.kill('SIGKILL');
    throw new Error(`${called}: not done within ${timeoutMs / 1000} s\n${tail(child.output)}`);
  }
  if (end.error !== undefined) throw end.error;
  if (end.code !== 0) {
    throw new Error(`${called}: ${end.signal ?? `exit ${end.code}`}\n${tail(child.output)}`);
  }
  return child;
}

function tail(output) {
  return output.trimEnd().split('\n').slice(-30).join('\n');
}
