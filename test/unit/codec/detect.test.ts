import { describe, expect, test } from 'vitest';
import { detect } from '../../../src/codec/detect.ts';

const found = (body: Uint8Array | string, path: 'v1' | 'v2' = 'v2', contentType = '') => {
  const detected = detect(Buffer.from(body as string), { path, contentType });
  return 'format' in detected ? detected.format : detected.message;
};
const proto = (length: number, ...rest: number[]) => Uint8Array.from([0x0a, length, ...rest]);

describe('detect', () => {
  test.each([
    ['a list', '[', 'v2', '', 'json-v2'],
    ['a list at the v1 path', '[', 'v1', '', 'json-v1'],
    ['a list said to be protobuf', '[{}]', 'v2', 'application/x-protobuf', 'json-v2'],
    ['a single object', '{"traceId":"1"}', 'v2', '', 'json-v2'],
    ['a list behind blanks', ' \t\r\n[', 'v2', '', 'json-v2'],
    ['a list behind a line feed', '\n[{"traceId"', 'v2', '', 'json-v2'],
    ['a list that begins with two line feeds', '\n[\n{', 'v2', '', 'json-v2'],
    ['a byte order mark', '\ufeff[]', 'v2', '', 'json-v2'],
    ['protobuf said to be JSON', proto(30, 0x0a, 16), 'v2', 'application/json', 'proto3'],
    ['protobuf at the v1 path', proto(30, 0x0a, 16), 'v1', '', 'proto3'],
    ['a protobuf span of 91 bytes', proto(0x5b, 0x0a, 16), 'v2', '', 'proto3'],
    ['a protobuf span of 123 bytes', proto(0x7b, 0x0a, 8), 'v2', '', 'proto3'],
    ['a thrift list', Uint8Array.from([0x0c, 0, 0, 0, 1]), 'v1', '', 'thrift'],
    ['a thrift list at the v2 path', Uint8Array.from([0x0c, 0, 0, 0, 1]), 'v2', '', 'thrift'],
    ['a single thrift struct', Uint8Array.from([0x0a, 0, 1]), 'v1', '', 'thrift'],
  ] as const)('knows %s', (_, body, path, type, format) => {
    expect(found(body as string, path, type)).toBe(format);
  });

  test.each([
    ['hello', 'v2', '', 'Expected a JSON_V2 encoded list\n'],
    ['\n', 'v2', '', 'Expected a JSON_V2 encoded list\n'],
    ['hello', 'v2', 'application/x-protobuf; a=b', 'Expected a PROTO3 encoded list\n'],
    ['hello', 'v1', 'text/plain', 'Expected a JSON_V1 encoded list\n'],
    ['hello', 'v1', 'Application/X-Thrift', 'Expected a THRIFT encoded list\n'],
    ['[{"traceId":"1"}]', 'v1', 'application/x-thrift', 'Expected a THRIFT encoded list\n'],
  ] as const)('says of %j at %s as %s what Zipkin says', (body, path, type, message) => {
    expect(found(body, path, type)).toBe(message);
  });
});
