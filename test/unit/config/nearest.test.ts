import { describe, expect, test } from 'vitest';
import { nearest } from '../../../src/config/nearest.ts';

const KNOWN = ['QUERY_PORT', 'QUERY_TIMEOUT', 'SCRUBJAY_DATA_DIR'];

describe('The nearest name', () => {
  test.each([
    ['QUERY_PROT', 'QUERY_PORT'],
    ['query_port', 'QUERY_PORT'],
    ['QUERYTIMEOUT', 'QUERY_TIMEOUT'],
    ['SCRUBJAY_DATADIRS', 'SCRUBJAY_DATA_DIR'],
    ['SCRUBJAY_NOTHING_LIKE_IT', undefined],
    ['X', undefined],
  ])('to %s is %s', (name, expected) => {
    expect(nearest(name, KNOWN)).toBe(expected);
  });
});
