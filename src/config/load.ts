/**
 * The settings in effect: defaults, over them the YAML file of SCRUBJAY_CONFIG_FILE, over it the
 * environment. Everything that is wrong is reported at once; nothing is guessed.
 */
import { CodedError } from '../base/errors.ts';
import type { Setting } from '../base/settings.ts';
import { crossCheck, ignoredVariables } from './checks.ts';
import { nodeSettings } from './config.ts';
import type { Environment } from './env.ts';
import { readConfigFile } from './file.ts';
import { listGroups, listSettings, type Config } from './groups.ts';
import { showText } from './masking.ts';
import { nearest } from './nearest.ts';

export type Source = 'default' | 'file' | 'environment';

export interface LoadedConfig {
  readonly config: Config;
  /** Where the value of each setting comes from, by the name of its environment variable. */
  readonly sources: ReadonlyMap<string, Source>;
  /** What will work otherwise than somebody may expect, with the consequence. */
  readonly warnings: readonly string[];
}

interface Given {
  readonly text: string;
  readonly source: Source;
}

const OWN_PREFIX = 'SCRUBJAY_';
const FORMS: Readonly<Record<string, string>> = {
  bytes: ' (as 5MiB or 5242880)',
  ms: ' (as 10s or 10000)',
};

/**
 * Reads no environment itself: tests and check-config hand in their own.
 * @throws {SCRUBJAY_ERR_CONFIG} one message with a line for each problem
 */
export function loadConfig(environment: Environment): LoadedConfig {
  const problems: string[] = [];
  const given = new Map<string, Given>();
  const file = environment.get(nodeSettings.configFile.env);
  if (file !== undefined) gatherFile(file, given, problems);
  gatherEnvironment(environment, given, problems);

  const config = parseGroups(given, problems);
  const warnings = problems.length === 0 ? crossCheck(config, problems) : [];
  if (problems.length > 0) {
    throw new CodedError('SCRUBJAY_ERR_CONFIG', { detail: problems.join('\n') });
  }
  const names = listSettings().map((setting) => setting.env);
  return {
    config: deepFreeze(config),
    sources: new Map(names.map((name) => [name, given.get(name)?.source ?? 'default'])),
    warnings: [...warnings, ...ignoredVariables(environment, names)],
  };
}

function gatherFile(path: string, given: Map<string, Given>, problems: string[]): void {
  const names = listSettings().map((setting) => setting.env);
  const content = readConfigFile(path);
  problems.push(...content.problems);
  for (const [key, text] of content.values) {
    if (key === nodeSettings.configFile.env) {
      problems.push(`${key} in ${path}: a configuration file cannot name another one`);
    } else if (names.includes(key)) {
      given.set(key, { text, source: 'file' });
    } else {
      problems.push(`${key} in ${path} is not a setting${suggestion(key, names)}`);
    }
  }
}

function gatherEnvironment(
  environment: Environment,
  given: Map<string, Given>,
  problems: string[],
): void {
  const names = listSettings().map((setting) => setting.env);
  for (const [name, text] of environment) {
    if (names.includes(name)) given.set(name, { text, source: 'environment' });
    else if (name.startsWith(OWN_PREFIX)) {
      problems.push(`${name} is not a setting${suggestion(name, names)}`);
    }
  }
}

function suggestion(name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  return near === undefined ? '' : `: did you mean ${near}?`;
}

function parseGroups(given: ReadonlyMap<string, Given>, problems: string[]): Config {
  const parsed = listGroups().map(([group, settings]): [string, Record<string, unknown>] => {
    const values = Object.entries(settings).map(([key, setting]): [string, unknown] => [
      key,
      valueOf(setting, given, problems),
    ]);
    return [group, Object.fromEntries(values)];
  });
  // Entry by entry it is what Config derives from the settings; the compiler cannot follow.
  return Object.fromEntries(parsed) as Config;
}

function valueOf(
  setting: Setting<unknown>,
  given: ReadonlyMap<string, Given>,
  problems: string[],
): unknown {
  const found = given.get(setting.env);
  if (found === undefined) return setting.default;
  const value = setting.parse(found.text);
  if (value !== undefined) return value;
  const place = found.source === 'file' ? ' in the configuration file' : '';
  const form = FORMS[setting.unit] ?? '';
  const was = showText(setting, found.text);
  problems.push(`${setting.env}${place} should be ${setting.allowed}${form}: was ${was}`);
  return setting.default;
}

function deepFreeze<T extends object>(value: T): T {
  for (const member of Object.values(value)) {
    if (typeof member === 'object' && member !== null) deepFreeze(member as object);
  }
  return Object.freeze(value);
}
