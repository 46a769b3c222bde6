import { describe, expect, it } from 'vitest';
import { decodeV1JsonSpan } from '../../../src/codec/v1-json.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import type { RowGate } from '../../../src/model/decode-report.ts';
import type { RejectReason } from '../../../src/model/reasons.ts';
import { KIND_CLIENT } from '../../../src/model/span-batch.ts';
import { admitAll, newBatch, readBatch } from './v1-batch-reader.ts';
import type { JsonSpan } from './v1-batch-reader.ts';

const WEB = { serviceName: 'web', ipv4: '127.0.0.1' };
const APP = { serviceName: 'app', ipv4: '192.168.99.101', port: 9000 };
const KAFKA = { serviceName: 'kafka' };
const IDS = { traceId: '0000000000000001', parentId: '0000000000000002', id: '0000000000000003' };
const T = 1_472_470_996_199_000;

const at = (ms: number, value: string, endpoint?: object): object => ({
  timestamp: T + ms * 1000,
  value,
  endpoint,
});
const tag = (key: string, value: string | boolean, endpoint?: object): object => ({
  key,
  value,
  endpoint,
});

interface Parts {
  timestamp?: number;
  duration?: number;
  annotations?: object[];
  binaryAnnotations?: object[];
}

function convert(parts: Parts, gate: RowGate = admitAll): { spans: JsonSpan[]; report: DecodeReport } {
  const source = Buffer.from(JSON.stringify({ traceId: '1', parentId: '2', id: '3', ...parts }));
  const batch = newBatch();
  const report = new DecodeReport();
  decodeV1JsonSpan(source, 0, source.length, batch, gate, report);
  return { spans: readBatch(batch), report };
}

const rows = (parts: Parts): JsonSpan[] => convert(parts).spans;

describe('one side of a call', () => {
  it('makes a client of cs and cr, with the times of the span', () => {
    expect(
      rows({
        timestamp: T,
        duration: 207_000,
        annotations: [at(0, 'cs', WEB), at(39, 'ws', WEB), at(204, 'wr', WEB), at(207, 'cr', WEB)],
        binaryAnnotations: [tag('http.path', '/api', WEB), tag('sa', true, APP)],
      }),
    ).toEqual([
      {
        ...IDS,
        kind: 'CLIENT',
        timestamp: T,
        duration: 207_000,
        localEndpoint: WEB,
        remoteEndpoint: APP,
        annotations: [
          { timestamp: T + 39_000, value: 'ws' },
          { timestamp: T + 204_000, value: 'wr' },
        ],
        tags: { 'http.path': '/api' },
      },
    ]);
  });

  it('keeps a client unfinished that has no cr', () => {
    expect(rows({ timestamp: T, annotations: [at(0, 'cs', WEB), at(9, 'ws', WEB)] })).toEqual([
      {
        ...IDS,
        kind: 'CLIENT',
        timestamp: T,
        localEndpoint: WEB,
        annotations: [{ timestamp: T + 9000, value: 'ws' }],
      },
    ]);
  });

  it('keeps a lone end as an annotation', () => {
    expect(
      rows({ annotations: [at(0, 'cr', WEB)], binaryAnnotations: [tag('sa', true, APP)] }),
    ).toEqual([
      {
        ...IDS,
        kind: 'CLIENT',
        localEndpoint: WEB,
        remoteEndpoint: APP,
        annotations: [{ timestamp: T, value: 'cr' }],
      },
    ]);
    expect(
      rows({ annotations: [at(0, 'ss', APP)], binaryAnnotations: [tag('ca', true, WEB)] }),
    ).toEqual([
      {
        ...IDS,
        kind: 'SERVER',
        localEndpoint: APP,
        remoteEndpoint: WEB,
        annotations: [{ timestamp: T, value: 'ss' }],
      },
    ]);
  });

  it('infers the begin where the times of the span end at the annotation', () => {
    const times = { timestamp: T, duration: 207_000 };
    expect(rows({ ...times, annotations: [at(207, 'cr', WEB)] })).toEqual([
      { ...IDS, ...times, kind: 'CLIENT', localEndpoint: WEB },
    ]);
    expect(rows({ ...times, annotations: [at(207, 'ss', APP)] })).toEqual([
      { ...IDS, ...times, kind: 'SERVER', localEndpoint: APP },
    ]);
  });

  it('makes a server of sr and ss that owns its times', () => {
    expect(
      rows({
        timestamp: T,
        duration: 207_000,
        annotations: [at(0, 'sr', APP), at(207, 'ss', APP)],
        binaryAnnotations: [tag('k', 'v', APP), tag('ca', true, WEB)],
      }),
    ).toEqual([
      {
        ...IDS,
        kind: 'SERVER',
        timestamp: T,
        duration: 207_000,
        localEndpoint: APP,
        remoteEndpoint: WEB,
        tags: { k: 'v' },
      },
    ]);
  });

  it('takes a server for shared when the span has no times of its own', () => {
    const shared = { ...IDS, kind: 'SERVER', localEndpoint: APP, shared: true };
    expect(rows({ annotations: [at(0, 'sr', APP), at(10, 'ss', APP)] })).toEqual([
      { ...shared, timestamp: T, duration: 10_000 },
    ]);
    expect(rows({ annotations: [at(0, 'sr', APP)] })).toEqual([{ ...shared, timestamp: T }]);
  });

  it('takes a server for shared when the timestamp alone is there', () => {
    expect(
      rows({ timestamp: T - 10, annotations: [at(20, 'sr', APP), at(30, 'ss', APP)] }),
    ).toEqual([
      {
        ...IDS,
        kind: 'SERVER',
        timestamp: T + 20_000,
        duration: 10_000,
        localEndpoint: APP,
        shared: true,
      },
    ]);
  });

  it('gives agreed names no meaning without an endpoint', () => {
    expect(rows({ timestamp: T, annotations: [at(0, 'sr')] })).toEqual([
      { ...IDS, timestamp: T, annotations: [{ timestamp: T, value: 'sr' }] },
    ]);
    expect(rows({ annotations: [at(0, 'cs', {})] })[0]).not.toHaveProperty('kind');
  });

  it('lets the last of equal names win', () => {
    expect(
      rows({ annotations: [at(5, 'cs', WEB), at(0, 'cs', WEB), at(9, 'cr', WEB)] }),
    ).toEqual([
      { ...IDS, kind: 'CLIENT', timestamp: T + 5000, duration: 4000, localEndpoint: WEB },
    ]);
  });
});

describe('both sides in one span', () => {
  it('makes two rows, the server shared and with its own times', () => {
    expect(
      rows({
        timestamp: T,
        duration: 207_000,
        annotations: [
          at(0, 'cs', WEB),
          at(51, 'sr', APP),
          at(151, 'ss', APP),
          at(204, 'wr', WEB),
          at(207, 'cr', WEB),
        ],
        binaryAnnotations: [
          tag('path', '/web', WEB),
          tag('path', '/app', APP),
          tag('ca', true, WEB),
          tag('sa', true, APP),
        ],
      }),
    ).toEqual([
      {
        ...IDS,
        kind: 'CLIENT',
        timestamp: T,
        duration: 207_000,
        localEndpoint: WEB,
        remoteEndpoint: APP,
        annotations: [{ timestamp: T + 204_000, value: 'wr' }],
        tags: { path: '/web' },
      },
      {
        ...IDS,
        kind: 'SERVER',
        timestamp: T + 51_000,
        duration: 100_000,
        localEndpoint: APP,
        remoteEndpoint: WEB,
        tags: { path: '/app' },
        shared: true,
      },
    ]);
  });

  it('forks a service that calls itself', () => {
    const times = { timestamp: T, duration: 207_000 };
    expect(
      rows({
        ...times,
        annotations: [at(0, 'cs', WEB), at(51, 'sr', WEB), at(151, 'ss', WEB), at(207, 'cr', WEB)],
      }),
    ).toEqual([
      { ...IDS, ...times, kind: 'CLIENT', localEndpoint: WEB },
      {
        ...IDS,
        kind: 'SERVER',
        timestamp: T + 51_000,
        duration: 100_000,
        localEndpoint: WEB,
        shared: true,
      },
    ]);
  });

  it('gives one way no duration', () => {
    expect(rows({ annotations: [at(0, 'cs', WEB), at(51, 'sr', WEB)] })).toEqual([
      { ...IDS, kind: 'CLIENT', timestamp: T, localEndpoint: WEB },
      { ...IDS, kind: 'SERVER', timestamp: T + 51_000, localEndpoint: WEB, shared: true },
    ]);
  });

  it('judges each row alone', () => {
    const noClients: RowGate = {
      admit: (batch): RejectReason | undefined =>
        batch.kind[batch.rows] === KIND_CLIENT ? 'too_old' : undefined,
    };
    const { spans, report } = convert(
      { annotations: [at(0, 'cs', WEB), at(51, 'sr', APP)] },
      noClients,
    );
    expect(spans.map((span) => span['kind'])).toEqual(['SERVER']);
    expect(report.accepted).toBe(1);
    expect(report.first).toEqual([{ index: 0, reason: 'too_old', detail: '' }]);
  });
});

describe('messaging', () => {
  it('makes a producer of ms and ws', () => {
    expect(
      rows({
        annotations: [at(0, 'ms', WEB), at(5, 'ws', WEB)],
        binaryAnnotations: [tag('ma', true, KAFKA)],
      }),
    ).toEqual([
      {
        ...IDS,
        kind: 'PRODUCER',
        timestamp: T,
        duration: 5000,
        localEndpoint: WEB,
        remoteEndpoint: KAFKA,
      },
    ]);
  });

  it('makes a consumer of wr and mr, or of mr alone', () => {
    expect(rows({ annotations: [at(0, 'wr', APP), at(5, 'mr', APP)] })).toEqual([
      { ...IDS, kind: 'CONSUMER', timestamp: T, duration: 5000, localEndpoint: APP },
    ]);
    expect(rows({ annotations: [at(5, 'mr', APP)] })).toEqual([
      { ...IDS, kind: 'CONSUMER', timestamp: T + 5000, localEndpoint: APP },
    ]);
  });

  it.each([
    ['two services', APP],
    ['one service', WEB],
  ])('makes two rows of both ends in %s', (_, consumer) => {
    expect(
      rows({
        annotations: [
          at(0, 'ms', WEB),
          at(39, 'ws', WEB),
          at(204, 'wr', consumer),
          at(207, 'mr', consumer),
        ],
      }),
    ).toEqual([
      { ...IDS, kind: 'PRODUCER', timestamp: T, duration: 39_000, localEndpoint: WEB },
      {
        ...IDS,
        kind: 'CONSUMER',
        timestamp: T + 204_000,
        duration: 3000,
        localEndpoint: consumer,
        shared: true,
      },
    ]);
  });

  it('puts the broker on both ends', () => {
    const spans = rows({
      annotations: [at(0, 'ms', WEB), at(7, 'mr', APP)],
      binaryAnnotations: [tag('ma', '1', KAFKA)],
    });
    expect(spans.map((span) => span['remoteEndpoint'])).toEqual([KAFKA, KAFKA]);
  });
});

describe('addresses', () => {
  it('stand alone: client and server, server, client', () => {
    expect(rows({ binaryAnnotations: [tag('ca', true, WEB), tag('sa', true, APP)] })).toEqual([
      { ...IDS, localEndpoint: WEB, remoteEndpoint: APP },
    ]);
    expect(rows({ binaryAnnotations: [tag('sa', true, APP)] })).toEqual([
      { ...IDS, remoteEndpoint: APP },
    ]);
    expect(rows({ binaryAnnotations: [tag('ca', true, WEB)] })).toEqual([
      { ...IDS, kind: 'SERVER', remoteEndpoint: WEB },
    ]);
  });

  it('may be the text "1", as zipkin-ruby writes it', () => {
    for (const value of ['1', 'true', '']) {
      expect(
        rows({ annotations: [at(0, 'cs', WEB)], binaryAnnotations: [tag('sa', value, APP)] }),
      ).toEqual([{ ...IDS, kind: 'CLIENT', timestamp: T, localEndpoint: WEB, remoteEndpoint: APP }]);
    }
  });

  it('keep a client that calls itself', () => {
    expect(
      rows({
        annotations: [at(0, 'cs', WEB), at(1, 'cr', WEB)],
        binaryAnnotations: [tag('ca', true, WEB), tag('sa', true, WEB)],
      })[0],
    ).toMatchObject({ localEndpoint: WEB, remoteEndpoint: WEB });
  });

  it('drop a caller that is the server itself', () => {
    expect(
      rows({
        annotations: [at(0, 'sr', WEB), at(1, 'ss', WEB)],
        binaryAnnotations: [tag('ca', true, WEB), tag('sa', true, WEB)],
      })[0],
    ).not.toHaveProperty('remoteEndpoint');
  });

  it('keep the socket of a caller that has the name of the server', () => {
    const caller = { serviceName: 'APP', ipv4: '127.0.0.1', port: 63_840 };
    expect(
      rows({
        annotations: [at(0, 'sr', APP), at(1, 'ss', APP)],
        binaryAnnotations: [tag('ca', true, caller)],
      })[0],
    ).toMatchObject({ remoteEndpoint: { ipv4: '127.0.0.1', port: 63_840 } });
    expect(
      rows({
        annotations: [at(0, 'sr', APP), at(1, 'ss', APP)],
        binaryAnnotations: [tag('ca', true, { serviceName: 'app' })],
      })[0],
    ).not.toHaveProperty('remoteEndpoint');
  });
});

describe('parts without kind', () => {
  it('makes a local span of lc, whose empty value is no tag', () => {
    const times = { timestamp: T, duration: 207_000 };
    expect(rows({ ...times, binaryAnnotations: [tag('lc', '', WEB)] })).toEqual([
      { ...IDS, ...times, localEndpoint: WEB },
    ]);
    expect(rows({ binaryAnnotations: [tag('lc', 'worker', WEB)] })).toEqual([
      { ...IDS, localEndpoint: WEB, tags: { lc: 'worker' } },
    ]);
  });

  it('has a row for each service, and parts without endpoint on the first', () => {
    expect(
      rows({
        annotations: [at(0, 'foo', WEB), at(1, 'baz', APP), at(2, 'bar', WEB), at(3, 'missing')],
        binaryAnnotations: [tag('baz', 'qux', APP), tag('foo', 'bar', WEB), tag('missing', '')],
      }),
    ).toEqual([
      {
        ...IDS,
        localEndpoint: WEB,
        annotations: [
          { timestamp: T, value: 'foo' },
          { timestamp: T + 2000, value: 'bar' },
          { timestamp: T + 3000, value: 'missing' },
        ],
        tags: { foo: 'bar', missing: '' },
      },
      {
        ...IDS,
        localEndpoint: APP,
        annotations: [{ timestamp: T + 1000, value: 'baz' }],
        tags: { baz: 'qux' },
      },
    ]);
  });

  it('takes the first endpoint by time, then by key', () => {
    const other = { serviceName: 'web', ipv4: '10.0.0.9' };
    expect(rows({ annotations: [at(5, 'b', WEB), at(1, 'a', other)] })[0]!['localEndpoint']).toEqual(
      other,
    );
    expect(
      rows({ binaryAnnotations: [tag('b', '', WEB), tag('a', '', other)] })[0]!['localEndpoint'],
    ).toEqual(other);
  });

  it('lets the last of equal tags win, by service', () => {
    expect(
      rows({
        binaryAnnotations: [
          tag('k', '1', WEB),
          tag('k', '2', APP),
          tag('k', '3', WEB),
          tag('k', '4', APP),
        ],
      }).map((span) => span['tags']),
    ).toEqual([{ k: '3' }, { k: '4' }]);
  });

  it('makes as many rows as there are services', () => {
    const services = Array.from({ length: 500 }, (_, i) => ({ serviceName: `s${i}` }));
    const spans = rows({ annotations: services.map((service, i) => at(i, 'cs', service)) });
    expect(spans).toHaveLength(500);
    expect(spans[499]).toMatchObject({ kind: 'CLIENT', localEndpoint: services[499] });
  });

  it('computes times beyond 2^53 exactly', () => {
    const source = Buffer.from(
      '{"traceId":"1","id":"3","annotations":[' +
        '{"timestamp":5,"value":"cs","endpoint":{"serviceName":"a"}},' +
        '{"timestamp":9007199254740999,"value":"cr","endpoint":{"serviceName":"a"}}]}',
    );
    const batch = newBatch();
    decodeV1JsonSpan(source, 0, source.length, batch, admitAll, new DecodeReport());
    expect(readBatch(batch)[0]).toMatchObject({ timestamp: 5, duration: 9_007_199_254_740_994n });
  });
});
