import { describe, expect, test, vi } from 'vitest';
import { readEnvironment } from '../../../src/config/env.ts';

describe('The environment', () => {
  test('is a copy in which empty variables are not set', () => {
    vi.stubEnv('QUERY_PORT', '9999');
    vi.stubEnv('QUERY_TIMEOUT', '');
    const environment = readEnvironment();
    vi.stubEnv('QUERY_PORT', '1');
    expect(environment.get('QUERY_PORT')).toBe('9999');
    expect(environment.has('QUERY_TIMEOUT')).toBe(false);
  });
});
