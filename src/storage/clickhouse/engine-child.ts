/**
 * The process entry of the embedded engine: loads libchdb and becomes a ClickHouse HTTP server on
 * 127.0.0.1. Forked by engine.ts with the paths of the library and of engine.xml, and the parent's
 * process id, which tells orphan.ts whose it was; reports
 * `{port}` once, ends when the channel to its parent closes, for whatever reason.
 * It must not run libchdb's destructors: every way out is `_exit`.
 */
import fs from 'node:fs';
import * as os from 'node:os';
import { dirname, join } from 'node:path';
import process from 'node:process';
import { DataType, load, open } from 'ffi-rs';

/** With 10 a burst is taken faster still, and found too late: see RATIONALE.md. */
const NICENESS = 3;
const EXIT_STOPPED = 0;
/** The engine ended without being asked: a failed start or a crash of its main loop. */
const EXIT_ENGINE = 70;
const EXIT_TERMINAL = 71;
const STOP_MS_MAX = 15_000;
const PORT_POLL_MS = 5;

const LIBRARY = 'chdb';
const { O_NOCTTY, O_RDWR } = fs.constants;
/** libc's functions are found through libchdb's handle. */
const libc = { library: LIBRARY, retType: DataType.I32 } as const;

function callInt(funcName: string, ...values: number[]): number {
  const paramsType = values.map(() => DataType.I32);
  return load({ ...libc, funcName, paramsType, paramsValue: values });
}

function exit(code: number): void {
  callInt('_exit', code);
}

/**
 * Standard input becomes a pseudo terminal; returns its other end. Without one clickhouse-local
 * installs an error handler that terminates the process when a client resets a connection while
 * its request is being read: https://github.com/ClickHouse/ClickHouse/issues/115666
 */
function openTerminal(): number {
  const tty = callInt('posix_openpt', O_RDWR | O_NOCTTY);
  if (tty < 0 || callInt('grantpt', tty) !== 0 || callInt('unlockpt', tty) !== 0) {
    fs.writeSync(2, 'no pseudo terminal: /dev/ptmx and /dev/pts are needed\n');
    exit(EXIT_TERMINAL);
  }
  const name = load({
    library: LIBRARY,
    funcName: 'ptsname',
    retType: DataType.String,
    paramsType: [DataType.I32],
    paramsValue: [tty],
  });
  callInt('dup2', fs.openSync(name, O_RDWR | O_NOCTTY), 0);
  // A full terminal would block the engine.
  fs.createReadStream('', { fd: tty })
    .on('error', () => {})
    .resume();
  return tty;
}

function engineArguments(config: string, portFile: string): string[] {
  const outfile = portFile.replaceAll('\\', '\\\\').replaceAll("'", "\\'");
  return [
    'clickhouse-local',
    `--config-file=${config}`,
    '--log-level=warning',
    '--interactive',
    '--history_file=/dev/null',
    '--disable_suggestion',
    '--highlight=0',
    '--echo=0',
    '--progress=off',
    '--progress-table=off',
    '--enable-progress-table-toggle=0',
    `--query=SYSTEM START LISTEN HTTP; SELECT getServerPort('http_port') ` +
      `INTO OUTFILE '${outfile}' TRUNCATE FORMAT TSV`,
  ];
}

/** The engine writes the file in one go; the newline says that it is whole. */
function reportPort(portFile: string): void {
  const poll = setInterval(() => {
    let text = '';
    try {
      text = fs.readFileSync(portFile, 'utf8');
    } catch {
      return;
    }
    if (!text.endsWith('\n')) return;
    clearInterval(poll);
    // The callback takes the error of a parent that has gone meanwhile: 'disconnect' follows.
    process.send?.({ port: Number(text) }, undefined, undefined, () => {});
  }, PORT_POLL_MS);
}

/**
 * Under load spans are taken first and inserted second: the log holds what waits. Linux shares
 * time between sessions before it looks at niceness (sched(7), autogroup), and the engine, started
 * detached, leads a session of its own.
 */
function yieldToParent(): void {
  os.setPriority(NICENESS);
  try {
    fs.writeFileSync('/proc/self/autogroup', String(NICENESS));
  } catch {
    // Not Linux, or built without it.
  }
}

function run(library: string, config: string): void {
  open({ library: LIBRARY, path: library });
  const portFile = join(dirname(config), 'engine.port');
  const tty = openTerminal();
  // Service managers signal the whole group: the parent decides, and it drains first.
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(name, () => {});
  try {
    // When memory runs out the engine goes before the acceptor, which can do without it.
    fs.writeFileSync('/proc/self/oom_score_adj', '500');
  } catch {
    // Not Linux, or not allowed.
  }
  yieldToParent();
  let stopping = false;
  const stop = (): void => {
    stopping = true;
    fs.writeSync(tty, 'exit\n');
    setTimeout(() => exit(EXIT_STOPPED), STOP_MS_MAX);
  };
  process.on('disconnect', stop);
  if (!process.connected) exit(EXIT_STOPPED);
  fs.rmSync(portFile, { force: true });
  reportPort(portFile);
  const args = engineArguments(config, portFile);
  // A thread of its own keeps this event loop free to see the parent go.
  load({
    library: LIBRARY,
    funcName: 'chdb_query_cmdline',
    retType: DataType.External,
    paramsType: [DataType.I32, DataType.StringArray],
    paramsValue: [args.length, args],
    runInNewThread: true,
  }).then(
    () => exit(stopping ? EXIT_STOPPED : EXIT_ENGINE),
    () => exit(EXIT_ENGINE),
  );
}

const [library, config] = process.argv.slice(2);
if (library !== undefined && config !== undefined) run(library, config);
