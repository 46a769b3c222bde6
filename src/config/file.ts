/** The YAML file of SCRUBJAY_CONFIG_FILE as texts, to be parsed as the environment is. */
import { readFileSync } from 'node:fs';
import { parseDocument } from 'yaml';

export interface FileContent {
  readonly values: ReadonlyMap<string, string>;
  readonly problems: readonly string[];
}

const isScalar = (value: unknown): value is string | number | bigint | boolean =>
  ['string', 'number', 'bigint', 'boolean'].includes(typeof value);

/** Never throws: what is wrong with the file is listed. */
export function readConfigFile(path: string): FileContent {
  const content = readYaml(path);
  if (typeof content === 'string') return { values: new Map(), problems: [content] };
  const values = new Map<string, string>();
  const problems: string[] = [];
  for (const [key, value] of content) {
    const text = asText(value);
    if (text === undefined) problems.push(`${key} in ${path} should be one value or a list`);
    // As an empty variable: not set.
    else if (text !== '') values.set(key, text);
  }
  return { values, problems };
}

/** The top level of the file, or why there is none. */
function readYaml(path: string): Map<string, unknown> | string {
  let text: string;
  try {
    text = readFileSync(path, 'utf8');
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    return `SCRUBJAY_CONFIG_FILE: ${path} cannot be read (${why})`;
  }
  const document = parseDocument(text, { intAsBigInt: true });
  const [error] = document.errors;
  // The first line says what and where; the lines after it quote the file, secrets included.
  if (error !== undefined) return `${path} is not YAML: ${error.message.split('\n')[0] ?? ''}`;
  const content: unknown = document.toJS();
  if (content === null || content === undefined) return new Map();
  if (typeof content !== 'object' || Array.isArray(content)) {
    return `${path} should be lines of NAME: value`;
  }
  return new Map(Object.entries(content));
}

function asText(value: unknown): string | undefined {
  if (value === null) return '';
  if (isScalar(value)) return String(value);
  return Array.isArray(value) && value.every(isScalar) ? value.join(',') : undefined;
}
