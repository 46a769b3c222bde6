import { describe, expect, test } from 'vitest';
import {
  bytes,
  choice,
  decimal,
  durationMs,
  flag,
  integer,
  list,
  text,
} from '../../../src/base/settings.ts';

const named = { env: 'NAME', doc: 'Doc' };

describe('A numeric setting', () => {
  const port = integer({ ...named, default: 9411, min: 1, max: 65_535, unit: 'port number' });

  test.each([
    ['1', 1],
    [' 65535 ', 65_535],
    ['0', undefined],
    ['65536', undefined],
    ['9411.5', undefined],
    ['', undefined],
    ['0x10', undefined],
  ])('reads %j as %s', (given, value) => {
    expect(port.parse(given)).toBe(value);
  });

  test('says what is allowed, in its own notation', () => {
    expect(port.allowed).toBe('port number from 1 up to 65535');
    expect(bytes({ ...named, default: 0, max: 1024 }).allowed).toBe('bytes from 0 up to 1KiB');
    expect(durationMs({ ...named, default: 0, min: 1000 }).allowed).toBe('ms from 1s');
  });

  test('reads a fraction only as a decimal', () => {
    const rate = decimal({ ...named, default: 1, min: 0, max: 1, unit: 'rate' });
    expect([rate.parse('0.25'), rate.parse('1.01'), rate.parse('-0.1')]).toEqual([
      0.25,
      undefined,
      undefined,
    ]);
  });

  test('reads units of sizes and durations', () => {
    expect(bytes({ ...named, default: 0 }).parse('5MiB')).toBe(5_242_880);
    expect(durationMs({ ...named, default: 0 }).parse('10s')).toBe(10_000);
  });
});

describe('A flag', () => {
  test.each([
    ['true', true],
    ['YES', true],
    ['1', true],
    ['off', false],
    [' False ', false],
    ['maybe', undefined],
  ])('reads %j as %s', (given, value) => {
    expect(flag({ ...named, default: true }).parse(given)).toBe(value);
  });
});

describe('A choice', () => {
  const level = choice({ ...named, of: ['info', 'warn'], default: 'info' });

  test('takes its words in any case and lists them', () => {
    expect(level.parse(' WARN ')).toBe('warn');
    expect(level.parse('loud')).toBeUndefined();
    expect(level.allowed).toBe('info or warn');
  });
});

describe('A text', () => {
  test('is taken as it is, when its test agrees', () => {
    const name = text({
      ...named,
      default: '',
      allowed: 'letters',
      test: (it) => /^\w+$/.test(it),
    });
    expect([name.parse('a b'), name.parse('ab')]).toEqual([undefined, 'ab']);
    expect(text({ ...named, default: '' }).parse(' a ')).toBe(' a ');
  });

  test('is a secret only when it says so', () => {
    expect(text({ ...named, default: '' }).secret).toBe(false);
    expect(text({ ...named, default: '', secret: true }).secret).toBe(true);
  });
});

describe('A list', () => {
  test('drops blanks and empty entries', () => {
    const origins = list({ ...named, default: ['*'] });
    expect(origins.parse(' a, ,b,')).toEqual(['a', 'b']);
    expect(origins.format(['a', 'b'])).toBe('a,b');
  });
});
