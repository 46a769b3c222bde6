import { describe, expect, test } from 'vitest';
import { formatBytes, formatDuration, parseBytes, parseDuration } from '../../../src/base/units.ts';

describe('Sizes', () => {
  test.each([
    ['0', 0],
    ['512', 512],
    ['5MiB', 5_242_880],
    ['5MB', 5_000_000],
    ['1k', 1024],
    ['1.5 GiB', 1_610_612_736],
    [' 2 kib ', 2048],
    ['1T', 1_099_511_627_776],
  ])('reads %s as %d bytes', (text, bytes) => {
    expect(parseBytes(text)).toBe(bytes);
  });

  test.each(['', 'MiB', '-1', '5 furlongs', '1e3', '1,5MiB', '99999999TiB', '10s'])(
    'refuses %j',
    (text) => {
      expect(parseBytes(text)).toBeUndefined();
    },
  );

  test.each([
    [0, '0'],
    [1000, '1000'],
    [1024, '1KiB'],
    [1536, '1536'],
    [12_582_912, '12MiB'],
    [8_589_934_592, '8GiB'],
  ])('writes %d bytes as %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
    expect(parseBytes(text)).toBe(bytes);
  });
});

describe('Durations', () => {
  test.each([
    ['250', 250],
    ['10s', 10_000],
    ['1.5m', 90_000],
    ['2min', 120_000],
    ['1h', 3_600_000],
    ['7D', 604_800_000],
    ['1w', 604_800_000],
  ])('reads %s as %d ms', (text, ms) => {
    expect(parseDuration(text)).toBe(ms);
  });

  test.each(['', 's', '-5s', '5 MiB', '1h30m'])('refuses %j', (text) => {
    expect(parseDuration(text)).toBeUndefined();
  });

  test.each([
    [0, '0'],
    [1, '1ms'],
    [1500, '1500ms'],
    [75_000, '75s'],
    [604_800_000, '7d'],
  ])('writes %d ms as %s', (ms, text) => {
    expect(formatDuration(ms)).toBe(text);
    expect(parseDuration(text)).toBe(ms);
  });
});
