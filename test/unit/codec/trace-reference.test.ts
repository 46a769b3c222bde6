import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { traceIdOfReference } from '../../../src/codec/trace-reference.ts';

const ID = '463ac35c9f6413ad48485a3953bb6124';
const SPAN = 'a2fb4a1d1a96d312';

describe('The trace of', () => {
  test.each([
    `${ID}-${SPAN}-1-5b4185666d50f68b`,
    `${ID}-${SPAN}`,
    `${ID}-${SPAN}-d`,
    `b3: ${ID}-${SPAN}-1`,
    `b3:${ID}-${SPAN}-0`,
    `B3 = ${ID}-${SPAN}-0`,
    `  b3: ${ID}-${SPAN}-1\r\n`,
    `"b3":"${ID}-${SPAN}-1",`,
    `${ID.toUpperCase()}-${SPAN.toUpperCase()}-1`,
    `00-${ID}-${SPAN}-01`,
    `00-${ID}-${SPAN}-00`,
    `traceparent: 00-${ID}-${SPAN}-01`,
    `traceparent=00-${ID}-${SPAN}-01`,
    `'Traceparent': '00-${ID}-${SPAN}-01'`,
    `X-B3-TraceId: ${ID}`,
    `x-b3-traceid:${ID.toUpperCase()}`,
    `b3: ${ID}`,
  ])('%j is in it', (text) => {
    expect(traceIdOfReference(text)).toBe(ID);
  });

  test('one of 64 bits is of 16 digits', () => {
    expect(traceIdOfReference(`b3: 48485a3953bb6124-${SPAN}-1`)).toBe('48485a3953bb6124');
    expect(traceIdOfReference('X-B3-TraceId: 48485a3953bb6124')).toBe('48485a3953bb6124');
  });

  test.each([
    ID,
    ID.toUpperCase(),
    '1',
    'd',
    '',
    ' 1 ',
    'b3: 0',
    'b3:',
    'traceparent: x',
    `00-${ID}-${SPAN}-01-more`,
    `00-${'0'.repeat(32)}-${SPAN}-01`,
    `X-B3-SpanId: ${SPAN}`,
    '463ac35c-9f64-13ad-4848-5a3953bb6124',
    `b3: ${ID}-${SPAN}${' '.repeat(600)}`,
  ])('%j is the text itself', (text) => {
    expect(traceIdOfReference(text)).toBe(text);
  });

  test('any text is an id or the text itself, and never thrown at', () => {
    const names = fc.constantFrom('', 'b3: ', 'traceparent=');
    const holds = fc.property(names, fc.string(), (name, text) => {
      const found = traceIdOfReference(name + text);
      return found === name + text || /^[\da-f]{2,32}$/.test(found);
    });
    expect(fc.check(holds).failed).toBe(false);
  });
});
