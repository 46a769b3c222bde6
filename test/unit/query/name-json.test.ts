import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { sortedJson } from '../../../src/query/name-json.ts';

const json = (texts: readonly string[]): string => Buffer.from(sortedJson(texts)).toString();

describe('Lists of names', () => {
  test('are sorted by UTF-16 units, as Java sorts strings', () => {
    expect(json(['b', 'a', '\u{1f4a9}', '\u{ff5e}', 'B'])).toBe(
      '["B","a","b","\u{1f4a9}","\u{ff5e}"]',
    );
  });

  test.each([
    ['a\tb', String.raw`"a\tb"`],
    ['a"b\\c', String.raw`"a\"b\\c"`],
    ['\u0000\u001f', String.raw`"\u0000\u001F"`],
    [String.raw`\u001f`, String.raw`"\\u001f"`],
    ['个人信息服务\u2028\u007f', '"个人信息服务\u2028\u007f"'],
    ['', '""'],
  ])('escape %j as Jackson does', (text, escaped) => {
    expect(json([text])).toBe(`[${escaped}]`);
  });

  test('hold every text', () => {
    fc.assert(
      fc.property(fc.array(fc.string({ unit: 'binary' })), (texts) => {
        expect((JSON.parse(json(texts)) as string[]).toSorted()).toEqual(texts.toSorted());
      }),
    );
  });
});
