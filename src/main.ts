#!/usr/bin/env node
/** The process: arguments, signals, exit codes, and what a person sees first. */
import { randomBytes } from 'node:crypto';
import { resolve } from 'node:path';
import { createApp, type App, type StartInfo } from './app.ts';
import { allowInlining } from './base/compiler.ts';
import { CodedError } from './base/errors.ts';
import { describeConfig } from './config/check-config.ts';
import { helpText, parseCommandLine } from './config/command-line.ts';
import { readEnvironment } from './config/env.ts';
import type { Config } from './config/groups.ts';
import { loadConfig } from './config/load.ts';
import { readVersion } from './config/version.ts';
import { tenantsOf } from './storage/clickhouse/native-cutter.ts';
import { createLogger, type Logger } from './telemetry/logger.ts';
import { LOG_FOLDER } from './wal/config.ts';
import { runLogCommand, type LogAction } from './wal/inspection/command.ts';

type StopSignal = 'SIGINT' | 'SIGTERM';

const EXIT_FAILED = 1;
/** SIGTERM asks for an orderly end, and gets one; Ctrl-C is 128 + its number, as shells expect. */
const EXIT_STOPPED: Readonly<Record<StopSignal, number>> = { SIGTERM: 0, SIGINT: 130 };
const EXIT_CUT_SHORT: Readonly<Record<StopSignal, number>> = { SIGTERM: 143, SIGINT: 130 };
/** npm passes on the Ctrl-C that the terminal has sent to all: one key press arrives twice. */
const SAME_KEY_PRESS_MS = 500;

async function main(args: readonly string[]): Promise<void> {
  const { command, json } = parseCommandLine(args);
  switch (command) {
    case 'help':
      process.stdout.write(helpText());
      break;
    case 'version':
      process.stdout.write(`${readVersion()}\n`);
      break;
    case 'check-config':
      checkConfig();
      break;
    case 'wal inspect':
      await runOnLog('inspect', json);
      break;
    case 'wal verify':
      await runOnLog('verify', json);
      break;
    case 'wal retry':
      await runOnLog('retry', json);
      break;
    case 'serve':
      await serve();
      break;
  }
}

async function runOnLog(action: LogAction, json: boolean): Promise<void> {
  const { config, warnings } = loadConfig(readEnvironment());
  for (const warning of warnings) process.stderr.write(`warning: ${warning}\n`);
  const dir = resolve(config.node.dataDir, LOG_FOLDER);
  const { text, ok } = await runLogCommand({ dir, action, json, tenantsOf });
  process.stdout.write(text);
  if (!ok) process.exitCode = EXIT_FAILED;
}

function checkConfig(): void {
  const loaded = loadConfig(readEnvironment());
  process.stdout.write(describeConfig(loaded));
  for (const warning of loaded.warnings) process.stderr.write(`warning: ${warning}\n`);
}

async function serve(): Promise<void> {
  allowInlining();
  const { config, warnings } = loadConfig(readEnvironment());
  const forPeople = isForPeople(config);
  const logger = createLogger(config.telemetry.logLevel, forPeople);
  for (const warning of warnings) logger.warn({}, warning);

  const app = createApp(config, logger);
  const stopping = stopOnSignals(app, logger);
  try {
    const info = await app.start();
    if (!stopping.aborted) announce(info, forPeople, logger);
  } catch (error) {
    // Whatever had started must not outlive the process. After a signal the handler does it.
    if (stopping.aborted) return;
    await app.stop();
    throw error;
  }
}

function isForPeople({ telemetry }: Config): boolean {
  if (telemetry.logFormat === 'auto') return process.stdout.isTTY;
  return telemetry.logFormat === 'pretty';
}

/** The first signal stops the app and ends the process; a second one ends it at once. */
function stopOnSignals(app: App, logger: Logger): AbortSignal {
  const stopping = new AbortController();
  let first: { signal: StopSignal; atMs: number } | undefined;
  const onSignal = (signal: StopSignal): void => {
    const nowMs = performance.now();
    if (first === undefined) {
      first = { signal, atMs: nowMs };
      stopping.abort();
      logger.info({ signal }, 'Stopping; a second signal exits at once, which loses nothing');
      app.stop().then(() => process.exit(EXIT_STOPPED[signal]), fail);
    } else if (signal !== first.signal || nowMs - first.atMs > SAME_KEY_PRESS_MS) {
      process.exit(EXIT_CUT_SHORT[signal]);
    }
  };
  process.on('SIGINT', onSignal);
  process.on('SIGTERM', onSignal);
  return stopping.signal;
}

function announce(info: StartInfo, forPeople: boolean, logger: Logger): void {
  const url = info.url.replace(/\/\/(?:0\.0\.0\.0|\[::\])/, '//localhost');
  const { version, dataDir, storage } = info;
  if (!forPeople) {
    logger.info({ version, url, dataDir, storage }, 'Ready');
    return;
  }
  process.stdout.write(`
Scrubjay ${version} is ready
  URL      ${url}
  data     ${dataDir}
  storage  ${storage}
Send a span and read it back:
  ${exampleCommand(url)}

`);
}

/** Ids and time are literal so that the line works in every shell. */
function exampleCommand(url: string): string {
  const traceId = randomBytes(8).toString('hex');
  const span = {
    traceId,
    id: traceId,
    name: 'hello',
    timestamp: Date.now() * 1000,
    duration: 1000,
    localEndpoint: { serviceName: 'curl' },
  };
  const post = `curl -H content-type:application/json -d '[${JSON.stringify(span)}]'`;
  return `${post} ${url}/api/v2/spans && curl ${url}/api/v2/trace/${traceId}`;
}

/** What an operator can act on is one sentence; anything else is a bug and keeps its stack. */
function fail(error: unknown): never {
  const operating = error instanceof CodedError || (error instanceof Error && 'syscall' in error);
  const text = error instanceof Error && !operating ? error.stack : undefined;
  const lines = (text ?? (error instanceof Error ? error.message : String(error))).split('\n');
  process.stderr.write(lines.map((line) => `scrubjay: ${line}\n`).join(''));
  process.exit(EXIT_FAILED);
}

await main(process.argv.slice(2)).catch(fail);
