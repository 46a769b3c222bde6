/** What `scrubjay …` is asked to do, and the text of --help. */
import { CodedError } from '../base/errors.ts';
import { listSettings } from './groups.ts';
import { showValue } from './masking.ts';
import { nearest } from './nearest.ts';

export type Command = 'serve' | 'check-config' | 'help' | 'version';

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
export function parseCommandLine(args: readonly string[]): Command {
  // npm and container images pass a bare `--` on.
  const words = args.filter((arg) => arg !== '--');
  const unknown = words.find((word) => !WORDS.has(word));
  if (unknown !== undefined) {
    const near = nearest(unknown, [...WORDS.keys()]);
    const hint = near === undefined ? 'see scrubjay --help' : `did you mean ${near}?`;
    throw new CodedError('SCRUBJAY_ERR_CONFIG', {
      detail: `${unknown} is neither a command nor an option: ${hint}`,
    });
  }
  const commands = words.map((word) => WORDS.get(word)!);
  const answers = commands.find((command) => command === 'help' || command === 'version');
  if (answers !== undefined) return answers;
  if (commands.length > 1) {
    throw new CodedError('SCRUBJAY_ERR_CONFIG', {
      detail: `One command at a time: ${words.join(' ')}`,
    });
  }
  return commands[0] ?? 'serve';
}

/** Usage and every setting with its default. */
export function helpText(): string {
  const settings = listSettings().map((setting) => {
    const value = showValue(setting, setting.default);
    const name = value === '' ? setting.env : `${setting.env}=${value}`;
    return `  ${name}\n      ${setting.doc.replaceAll(/`|\.$/g, '')}\n`;
  });
  return `Usage: scrubjay [serve | check-config | --help | --version]

  serve          take spans and answer queries until SIGTERM or SIGINT (the default)
  check-config   print the settings in effect, their units and where each comes from
  --help         this text
  --version      the version

Settings are environment variables, shown with their defaults. Sizes take KiB, MiB, GiB,
durations ms, s, m, h, d. A YAML file (SCRUBJAY_CONFIG_FILE) may hold the same names.

${settings.join('')}`;
}
