import { describe, expect, test } from 'vitest';
import { CodedError, ERRORS, invariant } from '../../../src/base/errors.ts';

describe('CodedError', () => {
  test('has status and retryability of the table and the message filled in', () => {
    const cause = new Error('lower');
    const error = new CodedError(
      'SCRUBJAY_ERR_BODY_TOO_LARGE',
      { actual: 20, limit: 10 },
      { cause },
    );
    expect(error).toMatchObject({
      name: 'CodedError',
      code: 'SCRUBJAY_ERR_BODY_TOO_LARGE',
      status: 413,
      retryable: false,
      message: 'Body of 20 bytes: limit 10 bytes (SCRUBJAY_INGEST_MAX_BODY_BYTES)',
      cause,
    });
  });

  test('leaves a word in braces when nothing is given for it', () => {
    expect(new CodedError('SCRUBJAY_ERR_INFLATE').message).toBe('Cannot inflate spans: {encoding}');
  });

  test('does not fill in braces that a parameter brings along', () => {
    const error = new CodedError('SCRUBJAY_ERR_FORMAT', { detail: 'Expected {detail}' });
    expect(error.message).toBe('Expected {detail}');
  });
});

describe('The table of errors', () => {
  test.each(Object.entries(ERRORS))('%s has a status of its kind', (code, error) => {
    expect(code).toMatch(/^SCRUBJAY_ERR_[A-Z_]+$/);
    expect(error.status).toBeGreaterThanOrEqual(400);
    expect(error.status).toBeLessThan(600);
    // A 503 says: try again.
    const { retryable, status }: { retryable: boolean; status: number } = error;
    expect(retryable || status !== 503).toBe(true);
  });
});

describe('invariant', () => {
  test('throws only when broken', () => {
    expect(() => invariant(true, 'one is one')).not.toThrow();
    expect(() => invariant(false, 'one is two')).toThrow('invariant broken: one is two');
  });
});
