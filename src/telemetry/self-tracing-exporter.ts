/**
 * Finished spans of the program itself into Zipkin v2 JSON and on to those who store it: every
 * interval, in batches, from a bounded queue. Telemetry must not press on what it watches: what
 * does not fit or cannot be delivered is dropped and counted, never tried again.
 */
import { SpanKind, SpanStatusCode } from '@opentelemetry/api';
import type { HrTime } from '@opentelemetry/api';
import type { ReadableSpan, SpanProcessor } from '@opentelemetry/sdk-trace-base';
import type { Clock } from '../base/clock.ts';

/** Attributes that are members of a span in Zipkin, not tags. */
export const REMOTE_SERVICE = 'peer.service';
export const DEBUG = 'b3.debug';

const SPANS_QUEUED_MAX = 2048;
const SERVICE_NAME = 'scrubjay';
/** As numbers: to the compiler the SDK's enums are others than ours. */
const ERROR: number = SpanStatusCode.ERROR;
const KINDS: ReadonlyMap<number, string> = new Map([
  [SpanKind.SERVER, 'SERVER'],
  [SpanKind.CLIENT, 'CLIENT'],
]);

export interface SpanBatcherOptions {
  readonly flushIntervalMs: number;
  readonly clock: Pick<Clock, 'sleep'>;
  /**
   * Stores a list of spans. It must neither start an activity nor pass one on: spans about the
   * storing of spans would never end.
   */
  readonly deliver: (json: Uint8Array) => Promise<void>;
  /** Spans that nobody will see, and why. */
  readonly onDropped: (spans: number, cause: unknown) => void;
}

export class SpanBatcher implements SpanProcessor {
  readonly #options: SpanBatcherOptions;
  #queue: ReadableSpan[] = [];
  #flushing: Promise<void> | undefined;
  #wake = new AbortController();
  #hurried = false;
  #closed = false;

  constructor(options: SpanBatcherOptions) {
    this.#options = options;
  }

  onStart(): void {}

  onEnd(span: ReadableSpan): void {
    if (this.#closed || this.#queue.length >= SPANS_QUEUED_MAX) {
      this.#options.onDropped(1, this.#closed ? 'stopped' : 'queue full');
      return;
    }
    this.#queue.push(span);
    this.#flushing ??= this.#flushLater();
  }

  /** Resolves when what is finished now is delivered or dropped; never rejects. */
  async forceFlush(): Promise<void> {
    this.#hurried = true;
    this.#wake.abort();
    await this.#flushing;
    this.#hurried = false;
  }

  /** As forceFlush(); spans that finish later are dropped. */
  shutdown(): Promise<void> {
    this.#closed = true;
    return this.forceFlush();
  }

  /** One at a time, and none while there is nothing: an idle program sets no timer. */
  async #flushLater(): Promise<void> {
    const { clock, flushIntervalMs } = this.#options;
    while (this.#queue.length > 0) {
      this.#wake = new AbortController();
      if (!this.#hurried) await clock.sleep(flushIntervalMs, this.#wake.signal);
      await this.#deliver(this.#queue.splice(0));
    }
    this.#flushing = undefined;
  }

  async #deliver(spans: readonly ReadableSpan[]): Promise<void> {
    const { deliver, onDropped } = this.#options;
    try {
      await deliver(Buffer.from(JSON.stringify(spans.map(toZipkin))));
    } catch (error) {
      onDropped(spans.length, error);
    }
  }
}

/** Members that are undefined are not in the JSON. */
function toZipkin(span: ReadableSpan): object {
  const { traceId, spanId } = span.spanContext();
  const { code, message = '' }: { code: number; message?: string } = span.status;
  const kind: number = span.kind;
  const { [REMOTE_SERVICE]: remote, [DEBUG]: debug, ...attributes } = span.attributes;
  const tags = Object.entries(attributes).map(([key, value]) => [key, String(value)] as const);
  if (code === ERROR) tags.push(['error', message]);
  return {
    // OpenTelemetry knows ids of 128 bits only; one of 64 was padded on its way in.
    traceId: traceId.replace(/^0{16}/, ''),
    parentId: span.parentSpanContext?.spanId,
    id: spanId,
    kind: KINDS.get(kind),
    name: span.name,
    timestamp: microseconds(span.startTime),
    duration: Math.max(1, microseconds(span.duration)),
    localEndpoint: { serviceName: SERVICE_NAME },
    remoteEndpoint: remote === undefined ? undefined : { serviceName: remote },
    tags: tags.length === 0 ? undefined : Object.fromEntries(tags),
    debug: debug === true ? true : undefined,
  };
}

const microseconds = ([seconds, nanoseconds]: HrTime): number =>
  seconds * 1_000_000 + Math.round(nanoseconds / 1000);
