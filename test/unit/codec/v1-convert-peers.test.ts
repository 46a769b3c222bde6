import { describe, expect, it } from 'vitest';
import { decodeV1JsonSpan } from '../../../src/codec/v1-json.ts';
import { DecodeReport } from '../../../src/model/decode-report.ts';
import { admitAll, newBatch, readBatch } from './v1-batch-reader.ts';
import { APP, IDS, KAFKA, T, WEB, at, rows, tag } from './v1-spans.ts';

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
      ).toEqual([
        { ...IDS, kind: 'CLIENT', timestamp: T, localEndpoint: WEB, remoteEndpoint: APP },
      ]);
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
    expect(
      rows({ annotations: [at(5, 'b', WEB), at(1, 'a', other)] })[0]!['localEndpoint'],
    ).toEqual(other);
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
    decodeV1JsonSpan(source, 0, batch, admitAll, new DecodeReport());
    expect(readBatch(batch)[0]).toMatchObject({ timestamp: 5, duration: 9_007_199_254_740_994n });
  });
});
