import { describe, expect, test } from 'vitest';
import { spansJson } from '../../../src/codec/json-v2-writer.ts';
import type { Span } from '../../../src/model/span.ts';

const whole: Span = {
  shared: true,
  debug: true,
  tags: new Map([
    ['a', 'x\u2028\u2029"\\\n\u001f/<&'],
    ['b', ''],
  ]),
  annotations: [{ timestamp: -1, value: 'é' }],
  remoteEndpoint: { port: 80, ipv6: '::1', ipv4: '1.2.3.4', serviceName: 'db' },
  localEndpoint: { serviceName: 'web' },
  duration: 9_223_372_036_854_775_807n,
  timestamp: 1,
  name: 'get',
  kind: 'SERVER',
  id: '0000000000000002',
  parentId: '0000000000000003',
  traceId: '0000000000000001',
};

describe('spansJson', () => {
  test('writes members in the order of Zipkin, whatever the order in memory', () => {
    expect(spansJson([whole]).toString()).toBe(
      '[{"traceId":"0000000000000001","parentId":"0000000000000003","id":"0000000000000002",' +
        '"kind":"SERVER","name":"get","timestamp":1,"duration":9223372036854775807,' +
        '"localEndpoint":{"serviceName":"web"},' +
        '"remoteEndpoint":{"serviceName":"db","ipv4":"1.2.3.4","ipv6":"::1","port":80},' +
        '"annotations":[{"timestamp":-1,"value":"é"}],' +
        '"tags":{"a":"x\\u2028\\u2029\\"\\\\\\n\\u001f/<&","b":""},"debug":true,"shared":true}]',
    );
  });

  test('leaves absent members out', () => {
    const span: Span = { traceId: '0000000000000001', id: '0000000000000002' };
    expect(spansJson([span, span]).toString()).toBe(
      '[{"traceId":"0000000000000001","id":"0000000000000002"},' +
        '{"traceId":"0000000000000001","id":"0000000000000002"}]',
    );
    expect(spansJson([]).toString()).toBe('[]');
  });
});
