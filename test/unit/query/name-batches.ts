/** Batches as codecs make them, of nothing but what name lists look at. */
import { DAY_US } from '../../../src/model/days.ts';
import { SpanBatch } from '../../../src/model/span-batch.ts';
import { LIMITS } from '../ingester/fakes.ts';

export interface NamedSpan {
  readonly tenant?: string;
  readonly service?: string;
  readonly name?: string;
  readonly remote?: string;
  readonly kind?: number;
  /** Days since 1970. */
  readonly day?: number;
  readonly tags?: Readonly<Record<string, string>>;
}

export function batchOf(spans: readonly NamedSpan[], batch = new SpanBatch(LIMITS, 7)): SpanBatch {
  batch.reset();
  for (const [index, span] of spans.entries()) {
    const { tenant = 'default', service = '', name = '', remote = '', kind = 0, day = 1 } = span;
    batch.beginMessage(Buffer.from(tenant), LIMITS, day * DAY_US);
    batch.beginRow();
    batch.setTraceId(0, 0, 0, index + 1);
    batch.setId(0, index + 1);
    batch.setKind(kind);
    batch.setTimestamp(day * DAY_US + 1 + index);
    const [nameBytes, serviceBytes, remoteBytes] = [name, service, remote].map((text) =>
      Buffer.from(text),
    );
    batch.setName(nameBytes!, 0, nameBytes!.length);
    batch.setService(batch.local, serviceBytes!, 0, serviceBytes!.length);
    batch.setService(batch.remote, remoteBytes!, 0, remoteBytes!.length);
    for (const [key, value] of Object.entries(span.tags ?? {})) {
      const [k, v] = [Buffer.from(key), Buffer.from(value)];
      batch.addTag(k, 0, k.length, v, 0, v.length);
    }
    batch.endRow();
    batch.keepRow();
  }
  return batch;
}
