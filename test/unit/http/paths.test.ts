import { expect, test } from 'vitest';
import { normalizeUrl, templateOf } from '../../../src/http/paths.ts';

test.each([
  ['/api/v2/spans', '/api/v2/spans'],
  ['/api/v2/spans/', '/api/v2/spans'],
  ['/', '/'],
  ['//', '/'],
  ['//api///v2//spans//?a=//', '/api/v2/spans?a=//'],
  ['/zipkin/api/v2/trace/1', '/api/v2/trace/1'],
  ['/zipkin/', '/zipkin'],
  ['/zipkin/traces/1', '/zipkin/traces/1'],
  ['/api/v2/trace/1/?x=/', '/api/v2/trace/1?x=/'],
  ['http://a/health', 'http://a/health'],
])('%s means %s', (url, normal) => {
  expect(normalizeUrl(url)).toBe(normal);
});

test('a path of the router becomes a template again', () => {
  expect(templateOf('/api/v2/trace/:traceId')).toBe('/api/v2/trace/{traceId}');
});
