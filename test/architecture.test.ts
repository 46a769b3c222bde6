/**
 * The authority on structure: which folder may import which, who may use which package, sizes and
 * names. Plain text search over import lines: it needs no compiler and runs in milliseconds.
 */
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, test } from 'vitest';

const ROOT = fileURLToPath(new URL('..', import.meta.url));

/** A folder of src -> the folders it may import beside itself. */
const MAY_IMPORT: Readonly<Record<string, readonly string[]>> = {
  base: [],
  model: ['base'],
  telemetry: ['base', 'model'],
  codec: ['base', 'model'],
  http: ['base', 'telemetry'],
  receiver: ['base', 'model', 'telemetry', 'codec', 'http', 'distributor'],
  distributor: ['base', 'model', 'telemetry'],
  wal: ['base', 'telemetry'],
  ingester: ['base', 'model', 'telemetry', 'wal', 'storage'],
  storage: ['base', 'model', 'telemetry'],
  'storage/clickhouse': ['base', 'model', 'telemetry', 'storage'],
  query: ['base', 'model', 'telemetry', 'storage'],
  api: ['base', 'model', 'telemetry', 'codec', 'http', 'query'],
  // And the config.ts of every other folder, see below.
  config: ['base'],
};
/** Composition root and process entry import everything. */
const ROOT_FILES = ['src/app.ts', 'src/main.ts'];

/** A package -> the folders of src that may import it. */
const FENCES: Readonly<Record<string, readonly string[]>> = {
  fastify: ['http', 'receiver', 'api'],
  '@clickhouse/client': ['storage/clickhouse'],
  chdb: ['storage/clickhouse'],
  'ffi-rs': ['storage/clickhouse'],
  protobufjs: ['codec'],
  '@opentelemetry/api': ['telemetry'],
  '@opentelemetry/propagator-b3': ['telemetry'],
  '@opentelemetry/sdk-trace-base': ['telemetry'],
  pino: ['telemetry'],
  'prom-client': ['telemetry'],
  yaml: ['config'],
};

const BANNED_NAMES = new Set(
  'util utils common helper helpers misc manager managers index'.split(' '),
);
const LINES_MAX = 400;
const COLUMNS_MAX = 100;

interface Source {
  /** From the root of the repository, with slashes. */
  readonly name: string;
  readonly folder: string;
  readonly text: string;
  readonly imports: readonly string[];
}

function listFiles(folder: string): string[] {
  if (!existsSync(path.join(ROOT, folder))) return [];
  return readdirSync(path.join(ROOT, folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => path.relative(ROOT, path.join(entry.parentPath, entry.name)))
    .map((name) => name.replaceAll(path.sep, '/'))
    .toSorted();
}

const read = (name: string): string => readFileSync(path.join(ROOT, name), 'utf8');

function folderOf(name: string): string {
  const folders = path.posix.dirname(name).split('/').slice(1);
  const nested = folders.slice(0, 2).join('/');
  return nested in MAY_IMPORT ? nested : (folders[0] ?? '');
}

function importsOf(text: string): string[] {
  const patterns = [
    /^(?:import|export)\b[^;'"]*?\bfrom\s+['"]([^'"]+)['"]/gm,
    /^import\s+['"]([^'"]+)['"]/gm,
    /\bimport\(\s*['"]([^'"]+)['"]/g,
    /\brequire(?:\.resolve)?\(\s*['"]([^'"]+)['"]/g,
  ];
  return patterns.flatMap((pattern) => [...text.matchAll(pattern)].map((match) => match[1]!));
}

const SOURCES: readonly Source[] = listFiles('src')
  .filter((name) => name.endsWith('.ts'))
  .map((name) => {
    const text = read(name);
    return { name, folder: folderOf(name), text, imports: importsOf(text) };
  });

const inSource = (source: Source, target: string): string =>
  path.posix.join(path.posix.dirname(source.name), target);
const withoutComments = (text: string): string =>
  text.replaceAll(/\/\*[\s\S]*?\*\//g, '').replaceAll(/(^|\s)\/\/.*$/gm, '$1');
const matching = (pattern: RegExp, sources = SOURCES): string[] =>
  sources.filter(({ text }) => pattern.test(withoutComments(text))).map(({ name }) => name);

describe('Imports', () => {
  test('the files of src are found, and their imports', () => {
    expect(SOURCES.length).toBeGreaterThan(10);
    expect(SOURCES.find(({ name }) => name === 'src/main.ts')?.imports).toContain('./app.ts');
  });

  test('each folder is in the table, and only the root files are in none', () => {
    const homeless = SOURCES.filter(
      ({ name, folder }) => !(folder in MAY_IMPORT) && !ROOT_FILES.includes(name),
    );
    expect(homeless.map(({ name }) => name)).toEqual([]);
  });

  test('each folder imports only what the table allows', () => {
    const violations = SOURCES.filter(({ folder }) => folder !== '').flatMap((source) =>
      source.imports
        .filter((target) => target.startsWith('.'))
        .map((target) => inSource(source, target))
        .filter((target) => {
          const folder = folderOf(target);
          if (source.folder === 'config' && path.posix.basename(target) === 'config.ts') {
            return false;
          }
          return folder !== source.folder && !MAY_IMPORT[source.folder]!.includes(folder);
        })
        .map((target) => `${source.name} -> ${target}`),
    );
    expect(violations).toEqual([]);
  });

  test('there are no cycles', () => {
    const graph = new Map(
      SOURCES.map((source) => [
        source.name,
        source.imports
          .filter((target) => target.startsWith('.'))
          .map((target) => inSource(source, target)),
      ]),
    );
    const done = new Set<string>();
    const cycles: string[] = [];
    const visit = (name: string, trail: readonly string[]): void => {
      if (trail.includes(name)) {
        cycles.push([...trail.slice(trail.indexOf(name)), name].join(' -> '));
      } else if (!done.has(name)) {
        for (const target of graph.get(name) ?? []) visit(target, [...trail, name]);
        done.add(name);
      }
    };
    for (const name of graph.keys()) visit(name, []);
    expect(cycles).toEqual([]);
  });

  test('relative imports name a file that exists, with its suffix', () => {
    const names = new Set(SOURCES.map(({ name }) => name));
    const missing = SOURCES.flatMap((source) =>
      source.imports
        .filter((target) => target.startsWith('.') && !names.has(inSource(source, target)))
        .map((target) => `${source.name} -> ${target}`),
    );
    expect(missing).toEqual([]);
  });

  test('each package is used only behind its fence', () => {
    const violations = SOURCES.flatMap((source) =>
      source.imports
        .filter((target) => !target.startsWith('.') && !target.startsWith('node:'))
        .map((target) => target.split('/', target.startsWith('@') ? 2 : 1).join('/'))
        .filter((name) => FENCES[name]?.includes(source.folder) !== true)
        .map((name) => `${source.name} -> ${name}`),
    );
    expect(violations).toEqual([]);
  });
});

describe('Purity', () => {
  test('the environment is read in config/env.ts and main.ts only', () => {
    const readers = matching(/\bprocess(?:\.|\[['"])env\b|\benv\b[^;]*from 'node:process'/);
    const allowed = ['src/config/env.ts', 'src/main.ts'];
    expect(readers.filter((name) => !allowed.includes(name))).toEqual([]);
  });

  test('codec and model do no input or output', () => {
    const pure = new Set(['node:buffer', 'node:util', 'node:assert']);
    const impure = SOURCES.filter(({ folder }) => folder === 'codec' || folder === 'model').flatMap(
      ({ name, imports }) =>
        imports
          .filter((target) => target.startsWith('node:') && !pure.has(target))
          .map((target) => `${name} -> ${target}`),
    );
    expect(impure).toEqual([]);
  });

  test('time and chance are handed in, in every folder of the path of a span', () => {
    const folders = 'model codec receiver distributor wal ingester query api http'.split(' ');
    const sources = SOURCES.filter(({ folder }) => folders.includes(folder));
    expect(matching(/\bDate\.now\(|\bnew Date\(\)|\bMath\.random\(/, sources)).toEqual([]);
  });

  test('the compiler and the rules on size are not switched off', () => {
    const sizes = String.raw`max-lines|max-depth|complexity|no-explicit-any|no-cycle`;
    const pattern = new RegExp(`@ts-(?:ignore|expect-error|nocheck)|lint-disable.*(?:${sizes})`);
    expect(SOURCES.filter(({ text }) => pattern.test(text)).map(({ name }) => name)).toEqual([]);
  });
});

describe('Names and sizes', () => {
  test('no file or folder has a name that says nothing, and there are no barrels', () => {
    const files = [...listFiles('src'), ...listFiles('test')].filter(
      (name) => !/^test\/(?:fixtures|artifacts|interop\/live)\//.test(name),
    );
    const banned = files.filter((name) =>
      name.split('/').some((part) => BANNED_NAMES.has(part.split('.')[0]!)),
    );
    expect(banned).toEqual([]);
  });

  test('files of src are in kebab-case', () => {
    const named = SOURCES.map(({ name }) => path.posix.basename(name));
    expect(named.filter((name) => !/^[a-z\d]+(?:-[a-z\d]+)*\.ts$/.test(name))).toEqual([]);
  });

  test(`files have at most ${LINES_MAX} lines`, () => {
    const long = SOURCES.map(({ name, text }) => ({
      name,
      lines: text.trimEnd().split('\n').length,
    }));
    expect(long.filter(({ lines }) => lines > LINES_MAX)).toEqual([]);
  });

  test(`lines have at most ${COLUMNS_MAX} columns`, () => {
    const scripts = [...listFiles('.dev'), ...listFiles('.ci')];
    const all = [...SOURCES, ...scripts.map((name) => ({ name, text: read(name) }))];
    const wide = all.flatMap(({ name, text }) =>
      text
        .split('\n')
        .map((line, index) => ({ place: `${name}:${index + 1}`, columns: line.length }))
        .filter(({ columns }) => columns > COLUMNS_MAX)
        .map(({ place, columns }) => `${place} has ${columns}`),
    );
    expect(wide).toEqual([]);
  });

  test('the linter bounds functions, depth and complexity everywhere in src', () => {
    const text = read('.oxlintrc.json').replaceAll(/^\s*\/\/.*$/gm, '');
    const { rules, overrides } = JSON.parse(text) as {
      rules: Record<string, unknown>;
      overrides: { files: string[]; rules: Record<string, unknown> }[];
    };
    expect(rules).toMatchObject({
      'eslint/max-lines': ['error', { max: LINES_MAX }],
      'eslint/max-lines-per-function': ['error', { max: 60 }],
      'eslint/max-depth': ['error', 4],
      'eslint/complexity': ['error', 15],
      'import/no-cycle': 'error',
      'typescript/no-explicit-any': 'error',
    });
    const loose = overrides.filter(
      ({ files, rules: relaxed }) =>
        'eslint/max-lines-per-function' in relaxed && files.some((file) => file.startsWith('src')),
    );
    // The one exception is a list: all metrics, declared in one place.
    expect(loose.map(({ files }) => files)).toEqual([['src/telemetry/metrics.ts']]);
  });
});

describe('The repository', () => {
  test('has nothing at its top but what belongs there', () => {
    const allowed = new Set(
      'LICENSE README.md deploy package-lock.json package.json proto src test tsconfig.json'.split(
        ' ',
      ),
    );
    const ignored = new Set(
      read('.gitignore')
        .split('\n')
        .map((line) => line.replace(/\/$/, '')),
    );
    const surplus = readdirSync(ROOT).filter(
      (name) => !name.startsWith('.') && !allowed.has(name) && !ignored.has(name),
    );
    expect(surplus).toEqual([]);
  });

  test('locks packages without naming the host they came from', () => {
    const lock = read('package-lock.json');
    expect(lock).not.toMatch(/"resolved"|\.tgz|registry\./);
    expect(read('.npmrc')).toMatch(/^omit-lockfile-registry-resolved=true$/m);
  });
});
