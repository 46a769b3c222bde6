import { describe, expect, test } from 'vitest';
import { helpText, parseCommandLine } from '../../../src/config/command-line.ts';
import { listSettings } from '../../../src/config/groups.ts';

describe('The command line', () => {
  test.each([
    [[], 'serve'],
    [['serve'], 'serve'],
    [['--'], 'serve'],
    [['check-config'], 'check-config'],
    [['--help'], 'help'],
    [['-h'], 'help'],
    [['--version'], 'version'],
    [['serve', '--help'], 'help'],
  ])('%j is %s', (args, command) => {
    expect(parseCommandLine(args)).toBe(command);
  });

  test.each([
    [['chek-config'], 'chek-config is neither a command nor an option: did you mean check-config?'],
    [['--verison'], '--verison is neither a command nor an option: did you mean --version?'],
    [['--port=1'], '--port=1 is neither a command nor an option: see scrubjay --help'],
    [['serve', 'check-config'], 'One command at a time: serve check-config'],
  ])('%j is refused', (args, message) => {
    expect(() => parseCommandLine(args)).toThrow(message);
  });
});

describe('--help', () => {
  test('names every command and every setting with its default', () => {
    const help = helpText();
    for (const word of ['serve', 'check-config', '--help', '--version'])
      expect(help).toContain(word);
    for (const { env } of listSettings()) expect(help).toContain(`  ${env}`);
    expect(help).toContain('  QUERY_PORT=9411\n');
  });
});
