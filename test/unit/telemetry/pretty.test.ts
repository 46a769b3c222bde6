import { Writable } from 'node:stream';
import { stripVTControlCharacters } from 'node:util';
import { describe, expect, test } from 'vitest';
import { prettyStream } from '../../../src/telemetry/pretty.ts';

function show(line: object): string {
  const chunks: string[] = [];
  const out = new Writable({
    write(chunk: Buffer, _encoding, done) {
      chunks.push(chunk.toString());
      done();
    },
  });
  prettyStream(out).write(JSON.stringify({ level: 30, time: '2026-01-02T03:04:05.678Z', ...line }));
  // Without the colours.
  return stripVTControlCharacters(chunks.join(''));
}

describe('Log lines for people', () => {
  test('have time, level, message and fields', () => {
    expect(show({ msg: 'Ready', port: 9411, path: '/data/wal' })).toBe(
      '03:04:05 INFO  Ready port=9411 path=/data/wal\n',
    );
  });

  test('quote what has blanks in it and show an error by its message', () => {
    expect(show({ level: 50, msg: 'No', why: 'a b', error: { message: 'x', stack: 'y' } })).toBe(
      '03:04:05 ERROR No why="a b" error="x"\n',
    );
  });

  test('do without a message', () => {
    expect(show({ level: 40, spans: 3 })).toBe('03:04:05 WARN  spans=3\n');
  });

  test('show a level without a name as its number', () => {
    expect(show({ level: 35, msg: 'odd' })).toBe('03:04:05 35 odd\n');
  });

  test('keep a message of several lines on one line when it is a field', () => {
    expect(show({ msg: 'Failed', cause: 'one\ntwo' })).toBe(
      '03:04:05 INFO  Failed cause="one\\ntwo"\n',
    );
  });
});
