/** A rejected span as an operator is shown it: enough to find its sender, no values of its tags. */
import type { ByteDictionary } from './byte-dictionary.ts';
import type { SpanBatch } from './span-batch.ts';
import { SPAN_KINDS } from './span.ts';
import { decodeUtf8 } from './text.ts';

export interface RowExample {
  readonly service: string;
  readonly name: string;
  readonly kind: string;
  readonly remoteService: string;
  /** Keys, at most 20, each with the first characters of its value. */
  readonly tags: Readonly<Record<string, string>>;
}

const TAGS_MAX = 20;
const VALUE_BYTES_MAX = 16;
const TEXT_CHARS_MAX = 100;

function textOf(dictionary: ByteDictionary, entry: number): string {
  const text = decodeUtf8(dictionary.arena, dictionary.starts[entry]!, dictionary.ends[entry]!);
  return text.slice(0, TEXT_CHARS_MAX);
}

/** Of the row that is being written: before it is dropped. */
export function rowExample(batch: SpanBatch): RowExample {
  const row = batch.rows;
  return {
    service: textOf(batch.local.services, batch.local.serviceIndex[row]!),
    name: textOf(batch.names, batch.nameIndex[row]!),
    kind: SPAN_KINDS[batch.kind[row]!] ?? '',
    remoteService: textOf(batch.remote.services, batch.remote.serviceIndex[row]!),
    tags: Object.fromEntries(tagExamples(batch)),
  };
}

function tagExamples({ tags }: SpanBatch): [string, string][] {
  const pairs: [string, string][] = [];
  let p = tags.rowValueStart;
  for (let i = tags.count - tags.rowCount; i < tags.count && pairs.length < TAGS_MAX; i++) {
    let length = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = tags.values[p++]!;
      length += (byte & 127) << shift;
      if (byte < 128) break;
    }
    const shown = decodeUtf8(tags.values, p, p + Math.min(length, VALUE_BYTES_MAX));
    pairs.push([
      textOf(tags.keys, tags.keyIndex[i]!),
      length > VALUE_BYTES_MAX ? `${shown}…` : shown,
    ]);
    p += length;
  }
  return pairs;
}
