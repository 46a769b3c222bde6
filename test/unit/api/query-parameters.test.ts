import { describe, expect, test } from 'vitest';
import { QueryParameters } from '../../../src/api/query-parameters.ts';
import { readSearch } from '../../../src/api/search-parameters.ts';

const NOW_MS = 1_700_000_000_000;
const DAY_MS = 86_400_000;

const of = (query: string) => new QueryParameters(`/api/v2/x${query}`);
const search = (query: string) =>
  readSearch(of(`?${query}`), { nowMs: NOW_MS, lookbackMs: DAY_MS });

describe('QueryParameters', () => {
  test.each([
    ['', undefined],
    ['?a', ''],
    ['?a=', ''],
    ['?a=1&a=2', '1'],
    ['?b=1&a=x+y%20z', 'x y z'],
    ['?a=b=c', 'b=c'],
    ['?a=%C3%A9%F0%9F%92%A9', 'é💩'],
    ['?a=%zz', '%zz'],
  ])('%s has the text %j', (query, expected) => {
    expect(of(query).text('a')).toBe(expected);
  });

  test.each([
    ['', undefined],
    ['?a=', undefined],
    ['?a=5', 5],
    ['?a=%2B5', 5],
    ['?a=-5', -5],
    ['?a=007', 7],
    ['?a=9223372036854775807', 2 ** 63],
  ])('%s has the long %j', (query, expected) => {
    expect(of(query).long('a')).toBe(expected);
  });

  test.each(['abc', '1.5', '1d', '1e3', '0x1', ' 1', '-', '9223372036854775808', '١x'])(
    '%s is no long',
    (value) => {
      const message = `For input string: "${value}"`;
      const parameters = of(`?a=${encodeURIComponent(value)}`);
      expect(() => parameters.long('a')).toThrow(message);
      expect(() => parameters.mandatoryLong('a')).toThrow(message);
      expect(() => parameters.int('a', 1)).toThrow(message);
    },
  );

  test('an int has 32 bits, and its default only when it is not there', () => {
    expect(of('').int('a', 7)).toBe(7);
    expect(of('?a=2147483647').int('a', 7)).toBe(2_147_483_647);
    expect(() => of('?a=2147483648').int('a', 7)).toThrow('For input string: "2147483648"');
    expect(() => of('?a=').int('a', 7)).toThrow('Cannot set null to primitive type parameter: a');
  });

  test('what is mandatory is missed by its name', () => {
    const missing = 'Mandatory parameter/header/attribute is missing: a';
    expect(() => of('?b=1').mandatoryText('a')).toThrow(missing);
    expect(() => of('').mandatoryLong('a')).toThrow(missing);
    expect(() => of('?a=').mandatoryLong('a')).toThrow(
      'Cannot set null to primitive type parameter: a',
    );
    expect(of('?a=').mandatoryText('a')).toBe('');
    expect(of('?a=3').mandatoryLong('a')).toBe(3);
  });

  test('a long text is shown in part', () => {
    expect(() => of(`?a=${'9'.repeat(10_000)}`).long('a')).toThrow(/^For input string: "9{64}"$/);
  });

  test('what is refused is a bad query', () => {
    expect(() => of('').mandatoryText('a')).toThrow(
      expect.objectContaining({ code: 'SCRUBJAY_ERR_BAD_QUERY', status: 400 }) as Error,
    );
  });
});

describe('readSearch', () => {
  test('without parameters looks back from now', () => {
    expect(search('')).toEqual({
      annotationQuery: new Map(),
      endTsMs: NOW_MS,
      lookbackMs: DAY_MS,
      limit: 10,
    });
  });

  test('empty texts and numbers are as if they were not there', () => {
    const empty =
      'serviceName=&remoteServiceName=&spanName=&annotationQuery=&minDuration=&maxDuration=' +
      '&endTs=&lookback=';
    expect(search(empty)).toEqual(search(''));
  });

  test('names are in lower case, and the span name all is any', () => {
    expect(search('serviceName=All&remoteServiceName=DB&spanName=GET')).toMatchObject({
      serviceName: 'all',
      remoteServiceName: 'db',
      spanName: 'get',
    });
    expect(search('spanName=aLL')).toEqual(search(''));
  });

  test('all criteria are read', () => {
    const query =
      'annotationQuery=a+and+b%3Dc&minDuration=5&maxDuration=6&endTs=7&lookback=8&limit=9';
    expect(search(query)).toEqual({
      annotationQuery: new Map([
        ['a', ''],
        ['b', 'c'],
      ]),
      minDurationUs: 5,
      maxDurationUs: 6,
      endTsMs: 7,
      lookbackMs: 8,
      limit: 9,
    });
  });

  test.each([
    ['endTs=0', 'endTs <= 0'],
    ['endTs=-1', 'endTs <= 0'],
    ['limit=0', 'limit <= 0'],
    ['limit=-1', 'limit <= 0'],
    ['limit=', 'Cannot set null to primitive type parameter: limit'],
    ['limit=99999999999', 'For input string: "99999999999"'],
    ['lookback=0', 'lookback <= 0'],
    ['lookback=1d', 'For input string: "1d"'],
    ['minDuration=0', 'minDuration <= 0'],
    ['maxDuration=5', 'maxDuration is only valid with minDuration'],
    ['minDuration=5&maxDuration=4', 'maxDuration < minDuration'],
    // Numbers first, in the order of the parameters; then the checks in theirs.
    ['limit=z&lookback=y&endTs=x&maxDuration=w&minDuration=v', 'For input string: "v"'],
    ['limit=z&lookback=y&endTs=x&maxDuration=w', 'For input string: "w"'],
    ['limit=z&lookback=y&endTs=x', 'For input string: "x"'],
    ['limit=z&lookback=y', 'For input string: "y"'],
    ['endTs=0&limit=', 'Cannot set null to primitive type parameter: limit'],
    ['minDuration=0&lookback=0&limit=0&endTs=0', 'endTs <= 0'],
    ['minDuration=0&lookback=0&limit=0', 'limit <= 0'],
    ['minDuration=0&lookback=0', 'lookback <= 0'],
    ['minDuration=0&maxDuration=-1', 'minDuration <= 0'],
  ])('%s: %s', (query, message) => {
    expect(() => search(query)).toThrow(message);
  });
});
