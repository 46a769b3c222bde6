/** What `scrubjay …` is asked to do, and the text of --help. */
import { CodedError } from '../base/errors.ts';
import { listSettings } from './groups.ts';
import { showValue } from './masking.ts';
import { nearest } from './nearest.ts';

export type Command =
  | 'serve'
  | 'check-config'
  | 'wal inspect'
  | 'wal verify'
  | 'wal retry'
  | 'help'
  | 'version';

export interface CommandLine {
  readonly command: Command;
  /** Answer as JSON: for the commands of the log. */
  readonly json: boolean;
}

const LOG_WORD = 'wal';
const LOG_ACTIONS = ['inspect', 'verify', 'retry'] as const;
/** Whatever else is there. */
const ANSWERS: readonly (Command | undefined)[] = ['help', 'version'];
const JSON_OPTION = '--json';

const WORDS: ReadonlyMap<string, Command> = new Map([
  ['serve', 'serve'],
  ['check-config', 'check-config'],
  ['--help', 'help'],
  ['-h', 'help'],
  ['help', 'help'],
  ['--version', 'version'],
  ['-v', 'version'],
  ['version', 'version'],
]);

/**
 * No argument is `serve`.
 * @throws {SCRUBJAY_ERR_CONFIG} for anything unknown: a mistyped option never starts a server
 */
export function parseCommandLine(args: readonly string[]): CommandLine {
  // npm and container images pass a bare `--` on.
  const given = args.filter((arg) => arg !== '--');
  const answer = given.map((word) => WORDS.get(word)).find((word) => ANSWERS.includes(word));
  if (answer !== undefined) return { command: answer, json: false };
  if (given[0] === LOG_WORD) return parseLogCommand(given.slice(1));
  const unknown = given.find((word) => !WORDS.has(word));
  if (unknown !== undefined) throw notKnown(unknown, [...WORDS.keys(), LOG_WORD]);
  const commands = given.map((word) => WORDS.get(word)!);
  if (commands.length > 1) {
    throw new CodedError('SCRUBJAY_ERR_CONFIG', {
      detail: `One command at a time: ${given.join(' ')}`,
    });
  }
  return { command: commands[0] ?? 'serve', json: false };
}

function parseLogCommand([action, ...options]: readonly string[]): CommandLine {
  const known = LOG_ACTIONS.find((word) => word === action);
  if (known === undefined) {
    if (action !== undefined) throw notKnown(`${LOG_WORD} ${action}`, LOG_ACTIONS, `${LOG_WORD} `);
    throw new CodedError('SCRUBJAY_ERR_CONFIG', {
      detail: `What to do with the log? scrubjay wal ${LOG_ACTIONS.join(' | ')}`,
    });
  }
  const unknown = options.find((word) => word !== JSON_OPTION);
  if (unknown !== undefined) throw notKnown(unknown, [JSON_OPTION]);
  return { command: `${LOG_WORD} ${known}`, json: options.length > 0 };
}

function notKnown(word: string, words: readonly string[], before = ''): CodedError {
  const near = nearest(word.slice(before.length), words);
  const hint = near === undefined ? 'see scrubjay --help' : `did you mean ${before}${near}?`;
  return new CodedError('SCRUBJAY_ERR_CONFIG', {
    detail: `${word} is neither a command nor an option: ${hint}`,
  });
}

/** Usage and every setting with its default. */
export function helpText(): string {
  const settings = listSettings().map((setting) => {
    const value = showValue(setting, setting.default);
    const name = value === '' ? setting.env : `${setting.env}=${value}`;
    return `  ${name}\n      ${setting.doc.replaceAll(/`|\.$/g, '')}\n`;
  });
  return `Usage: scrubjay [serve | check-config | wal inspect|verify|retry | --help | --version]

  serve          take spans and answer queries until SIGTERM or SIGINT (the default)
  check-config   print the settings in effect, their units and where each comes from
  wal inspect    what is in the log of SCRUBJAY_DATA_DIR, and what was set aside and why
  wal verify     check every block of the log; exit code 1 when something is damaged
  wal retry      put spans that storage refused back into the log, while no collector runs:
                 its next start inserts what is missing
                 The three take --json. inspect and verify only read, also while it runs
  --help         this text
  --version      the version

Settings are environment variables, shown with their defaults. Sizes take KiB, MiB, GiB,
durations ms, s, m, h, d. A YAML file (SCRUBJAY_CONFIG_FILE) may hold the same names.

${settings.join('')}`;
}
