import { describe, expect, it } from 'vitest';
import type { RowGate } from '../../../src/model/decode-report.ts';
import type { RejectReason } from '../../../src/model/reasons.ts';
import { KIND_CLIENT } from '../../../src/model/span-batch.ts';
import { APP, IDS, T, WEB, at, convert, rows, tag } from './v1-spans.ts';

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
    expect(rows({ annotations: [at(5, 'cs', WEB), at(0, 'cs', WEB), at(9, 'cr', WEB)] })).toEqual([
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
    expect(report.first).toMatchObject([{ index: 0, reason: 'too_old', detail: '' }]);
  });
});
