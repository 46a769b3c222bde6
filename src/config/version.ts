/** The version of the program, as package.json has it. */
import { readFileSync } from 'node:fs';

export function readVersion(): string {
  // The same two levels up from src/config and from dist/config.
  const manifest = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(manifest) as { version: string }).version;
}
