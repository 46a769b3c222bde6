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
    [['wal', 'inspect'], 'wal inspect'],
    [['wal', 'verify'], 'wal verify'],
    [['wal', 'retry'], 'wal retry'],
    [['wal', '--help'], 'help'],
  ])('%j is %s', (args, command) => {
    expect(parseCommandLine(args)).toEqual({ command, json: false });
  });

  test('takes --json for the commands of the log only', () => {
    const parsed = parseCommandLine(['wal', 'verify', '--json']);
    expect(parsed).toEqual({ command: 'wal verify', json: true });
    expect(() => parseCommandLine(['serve', '--json'])).toThrow('--json is neither');
  });

  test.each([
    [['chek-config'], 'chek-config is neither a command nor an option: did you mean check-config?'],
    [['--verison'], '--verison is neither a command nor an option: did you mean --version?'],
    [['--port=1'], '--port=1 is neither a command nor an option: see scrubjay --help'],
    [['wal'], 'What to do with the log? scrubjay wal inspect | verify | retry'],
    [['wal', 'verfiy'], 'wal verfiy is neither a command nor an option: did you mean wal verify?'],
    [['wal', 'verify', '--jsn'], 'did you mean --json?'],
    [['serve', 'check-config'], 'One command at a time: serve check-config'],
  ])('%j is refused', (args, message) => {
    expect(() => parseCommandLine(args)).toThrow(message);
  });
});

describe('--help', () => {
  test('names every command and every setting with its default', () => {
    const help = helpText();
    for (const word of ['serve', 'check-config', 'wal retry', '--json', '--help', '--version'])
      expect(help).toContain(word);
    for (const { env } of listSettings()) expect(help).toContain(`  ${env}`);
    expect(help).toContain('  QUERY_PORT=9411\n');
  });
});
