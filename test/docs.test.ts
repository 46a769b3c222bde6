/**
 * README's tables are what the code says: settings, routes, metrics, error codes, packages.
 * `npm run docs` writes them anew.
 */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';
import { ERRORS } from '../src/base/errors.ts';
import { listSettings } from '../src/config/groups.ts';
import { showValue } from '../src/config/masking.ts';
import { ROUTES } from '../src/http/routes.ts';
import { createMetrics } from '../src/telemetry/metrics.ts';

const ROOT = fileURLToPath(new URL('..', import.meta.url));
const README = path.join(ROOT, 'README.md');
const UPDATE = process.env['UPDATE_DOCS'] === '1';

const code = (text: string): string => `\`${text}\``;
const cell = (text: string): string => text.replaceAll('|', String.raw`\|`);

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string => `| ${cells.map(cell).join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n');
}

const settingsTable = (): string =>
  table(
    ['Setting', 'Default', 'Unit', 'Meaning'],
    listSettings().map((setting) => {
      const value = showValue(setting, setting.default);
      const sentence = setting.doc.replace(/\.$/, '');
      return [code(setting.env), value === '' ? '' : code(value), setting.unit, sentence];
    }),
  );

const routesTable = (): string =>
  table(
    ['Method', 'Path', 'What it does'],
    ROUTES.map((route) => [route.method, code(route.path), route.doc]),
  );

const errorsTable = (): string =>
  table(
    ['Code', 'Status', 'Try again', 'Message'],
    Object.entries(ERRORS).map(([name, error]) => [
      code(name),
      String(error.status),
      error.retryable ? 'yes' : 'no',
      code(error.text),
    ]),
  );

/** Node's own metrics come with prom-client under these prefixes. */
const isOwnMetric = ({ name }: { name: string }): boolean => !/^(?:process|nodejs)_/.test(name);

async function metricsTable(): Promise<string> {
  const { registry } = createMetrics();
  const labels = new Map(
    registry.getMetricsAsArray().map((metric) => {
      const { labelNames } = metric as unknown as { labelNames: readonly string[] };
      return [metric.name, labelNames];
    }),
  );
  const metrics = (await registry.getMetricsAsJSON()).filter(isOwnMetric);
  return table(
    ['Metric', 'Type', 'Labels', 'Meaning'],
    metrics.map(({ name, type, help }) => [
      code(name),
      String(type),
      (labels.get(name) ?? []).map(code).join(' '),
      help,
    ]),
  );
}

/** The text between `<!-- name -->` and `<!-- /name -->`. */
function block(readme: string, name: string): string {
  const match = blockPattern(name).exec(readme);
  if (match === null)
    throw new Error(`README.md has no block <!-- ${name} --> … <!-- /${name} -->`);
  return match[2]!;
}

const blockPattern = (name: string): RegExp =>
  new RegExp(`(<!-- ${name} -->\\n\\n)([\\s\\S]*?)(\\n\\n<!-- /${name} -->)`);

const readReadme = (): string => readFileSync(README, 'utf8');

describe('README', () => {
  test.each([
    ['settings', settingsTable],
    ['routes', routesTable],
    ['metrics', metricsTable],
    ['errors', errorsTable],
  ])('has the table of %s as the code has it', async (name, generate) => {
    const expected = await generate();
    const readme = readReadme();
    const actual = block(readme, name);
    if (UPDATE && actual !== expected) {
      const write = (_: string, head: string, __: string, tail: string): string =>
        `${head}${expected}${tail}`;
      writeFileSync(README, readme.replace(blockPattern(name), write));
      return;
    }
    expect(actual.split('\n'), 'run `npm run docs` to write the tables anew').toEqual(
      expected.split('\n'),
    );
  });

  test('names a reason for each package that the program uses, and no other', () => {
    const documented = [...block(readReadme(), 'packages').matchAll(/^\| `([^`]+)`/gm)].map(
      (match) => match[1]!,
    );
    expect(documented.toSorted()).toEqual(usedPackages());
  });

  test('names no setting or error code that does not exist', () => {
    expect(unknownNames(readReadme())).toEqual([]);
  });

  test('shows every npm script that it names', () => {
    const { scripts } = readManifest();
    const named = [...readReadme().matchAll(/`npm (?:run )?([a-z]+)`/g)].map((match) => match[1]!);
    expect(named.filter((name) => !(name in scripts))).toEqual([]);
  });
});

describe('The code', () => {
  test('names no setting or error code that does not exist', () => {
    const unknown = sourceFiles().flatMap((name) =>
      unknownNames(readFileSync(name, 'utf8')).map(
        (word) => `${path.relative(ROOT, name)}: ${word}`,
      ),
    );
    expect(unknown).toEqual([]);
  });

  test('gives each setting, route and error one meaning', () => {
    const names = listSettings().map((setting) => setting.env);
    expect(names).toEqual([...new Set(names)]);
    const routes = ROUTES.map((route) => `${route.method} ${route.path}`);
    expect(routes).toEqual([...new Set(routes)]);
  });

  test('documents each setting with one sentence and a default that it would accept', () => {
    for (const setting of listSettings()) {
      expect(setting.doc, setting.env).toMatch(/^[A-Z].*\S$/);
      if (setting.format(setting.default) === '') continue;
      expect(setting.parse(setting.format(setting.default)), setting.env).toEqual(setting.default);
    }
  });
});

function sourceFiles(): string[] {
  return readdirSync(path.join(ROOT, 'src'), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
    .map((entry) => path.join(entry.parentPath, entry.name));
}

function unknownNames(text: string): string[] {
  const known = new Set([...listSettings().map(({ env }) => env), ...Object.keys(ERRORS)]);
  const words = [...text.matchAll(/\bSCRUBJAY(?:_[A-Z\d]+)+\b/g)].map((match) => match[0]);
  return [...new Set(words)].filter((word) => !known.has(word));
}

interface Manifest {
  scripts: Record<string, string>;
  dependencies: Record<string, string>;
  optionalDependencies: Record<string, string>;
}

const readManifest = (): Manifest =>
  JSON.parse(readFileSync(path.join(ROOT, 'package.json'), 'utf8')) as Manifest;

function usedPackages(): string[] {
  const { dependencies, optionalDependencies } = readManifest();
  const text = sourceFiles()
    .map((name) => readFileSync(name, 'utf8'))
    .join('\n');
  const names = Object.keys({ ...dependencies, ...optionalDependencies });
  return names.filter((name) => text.includes(`'${name}'`)).toSorted();
}
