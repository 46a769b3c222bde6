/**
 * The write path between transport and log, as a Pyroscope distributor is: validates, limits and
 * samples each message, books every span, and hands what is kept to the sink. Stateless but for
 * the memory of bodies seen and the sizes of traces.
 */
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { DecodeReport } from '../model/decode-report.ts';
import type { Decode, MessageError } from '../model/decode-report.ts';
import type { SpanLimits } from '../model/limits.ts';
import type { SpanSink } from '../model/span-sink.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Rejections } from '../telemetry/rejections.ts';
import { NO_ACTIVITY } from '../telemetry/self-tracing.ts';
import type { Activity, SelfTracer } from '../telemetry/self-tracing.ts';
import type { DistributorConfig } from './config.ts';
import { MessageGate } from './gate.ts';
import type { AgeLimits } from './gate.ts';
import type { PushOutcome } from './outcome.ts';
import { OverloadSampler } from './overload-sampler.ts';
import { RateLimits } from './rate-limits.ts';
import { Sampler } from './sampler.ts';
import { SeenBodies, noteOf } from './seen-bodies.ts';
import { DEFAULT_TENANT, tenantOf } from './tenant.ts';
import { TraceSizes } from './trace-sizes.ts';

export interface Message {
  readonly tenant: string;
  readonly transport: 'http' | 'self';
  readonly format: string;
  /** Family of the User-Agent. */
  readonly client: string;
  /** Inflated. */
  readonly body: Uint8Array;
  readonly decode: Decode;
  /** Of the program's own tracing; none for its own spans, which ends the loop. */
  readonly activity?: Activity;
}

export interface DistributorOptions {
  readonly config: DistributorConfig;
  readonly ages: AgeLimits;
  readonly dedupWindowMs: number;
  readonly sink: SpanSink;
  /** Bytes of the log when it is so full that it may soon take no more; else 0. */
  readonly fillingLogBytes: () => number;
  readonly ledger: Ledger;
  readonly metrics: Metrics;
  readonly rejections: Pick<Rejections, 'record'>;
  readonly tracer: Pick<SelfTracer, 'handOver'>;
  readonly clock: Clock;
}

const TENANT_LABELS_MAX = 200;
const SAMPLED_DEBT_S = 1;
const ACCEPTED: PushOutcome = { kind: 'accepted' };

export class Distributor {
  readonly #o: DistributorOptions;
  readonly #limits: SpanLimits;
  readonly #rates: RateLimits;
  readonly #overload: OverloadSampler;
  readonly #gate: MessageGate;
  readonly #seen: SeenBodies;
  readonly #tenants = new Map<string, Uint8Array>();

  constructor(options: DistributorOptions) {
    this.#o = options;
    const { config, metrics } = options;
    this.#limits = limitsOf(config);
    this.#rates = new RateLimits(config);
    metrics.overloadShare.set(1);
    this.#overload = new OverloadSampler({
      enabled: config.overload === 'sample',
      isOverRate: (tenant, nowMs) => this.#rates.enabled && this.#rates.isInDebt(tenant, nowMs),
      logBytes: options.fillingLogBytes,
      onLogShare: (share) => metrics.overloadShare.set(share),
    });
    this.#gate = new MessageGate({
      sampler: new Sampler(config.sampleRate),
      overload: this.#overload,
      sizes: new TraceSizes(config.traceSpansMax),
      ages: options.ages,
    });
    this.#seen = new SeenBodies(options.dedupWindowMs);
  }

  /** Why no message can be taken now; asked before a body is read. */
  refusal(): CodedError | undefined {
    return this.#o.sink.refusal();
  }

  get hasTenants(): boolean {
    return this.#o.config.tenancy === 'header';
  }

  /** @throws {SCRUBJAY_ERR_TENANT_MISSING} {SCRUBJAY_ERR_TENANT_MALFORMED} */
  tenantOf(header: string | undefined): string {
    return this.hasTenants ? tenantOf(header) : DEFAULT_TENANT;
  }

  /** At the start: what the log remembers of messages that were acknowledged before. */
  remember(notes: Uint8Array): void {
    this.#seen.recover(notes, this.#o.clock.monotonicMs());
  }

  /** Resolves when the spans kept are durable, or nothing is. */
  async push(message: Message): Promise<PushOutcome> {
    const monotonicMs = this.#o.clock.monotonicMs();
    const note = noteOf(message.tenant === DEFAULT_TENANT ? '' : message.tenant, message.body);
    // Again after each: of several that waited for one that failed, the first goes on.
    for (let equal = this.#seen.underWay(note); equal !== undefined;) {
      await equal;
      equal = this.#seen.underWay(note);
    }
    const spans = this.#seen.find(note, monotonicMs);
    if (spans >= 0) {
      this.#o.ledger.duplicate(spans);
      this.#countReceived(message, spans);
      return ACCEPTED;
    }
    const refusal = this.refusal() ?? this.#overRate(message);
    if (refusal !== undefined) return { kind: 'refused', error: refusal };
    return this.#decode(message, note);
  }

  /** Decodes and commits in one tick: nothing may come between the batch and its commit. */
  #decode(message: Message, note: Buffer): PushOutcome | Promise<PushOutcome> {
    const nowMs = this.#o.clock.nowMs();
    const monotonicMs = this.#o.clock.monotonicMs();
    const batch = this.#o.sink.openBatch();
    const mark = batch.mark();
    const report = new DecodeReport();
    batch.beginMessage(this.#tenantBytes(message.tenant), this.#limits, nowMs * 1000);
    batch.truncations = 0;
    this.#gate.begin(message.tenant, nowMs, monotonicMs);
    this.#overload.begin(message.tenant, monotonicMs);
    const activity = message.activity ?? NO_ACTIVITY;
    const decoding = activity.child('decode');
    let error: MessageError | undefined;
    try {
      error = message.decode(message.body, batch, this.#gate, report);
    } catch (bug) {
      // Rows of half a message must not be stored with the group of others.
      batch.rollback(mark);
      decoding.error(bug);
      throw bug;
    } finally {
      decoding.tag('spans', report.spans);
      decoding.end();
    }
    if (error !== undefined) report.refuseAll('malformed_message');
    this.#countDecoded(message, report, batch.truncations);
    this.#spend(message, report);
    if (report.rejected > 0) this.#o.rejections.record(message, report, nowMs);
    if (report.accepted === 0) {
      batch.rollback(mark);
      this.#bookRejected(report);
      return outcomeOfNothing(message.format, report, error);
    }
    note.writeUInt32LE(report.accepted, 16);
    const appending = activity.child('append');
    const durable = this.#o.sink.commit(report.accepted, note);
    this.#o.tracer.handOver(appending);
    this.#seen.begin(note, durable, monotonicMs);
    return this.#whenDurable(durable, report, appending);
  }

  async #whenDurable(
    durable: Promise<void>,
    report: DecodeReport,
    appending: Activity,
  ): Promise<PushOutcome> {
    try {
      await durable;
    } catch (error) {
      // A retry brings the rejected ones again: the whole message counts as refused.
      this.#o.ledger.refuse(report.spans);
      appending.error(error);
      if (error instanceof CodedError) return { kind: 'refused', error };
      throw error;
    } finally {
      appending.end();
    }
    this.#bookRejected(report);
    return report.rejected === 0 ? ACCEPTED : { kind: 'partial', report };
  }

  #overRate({ tenant, transport }: Message): CodedError | undefined {
    if (!this.#rates.enabled || this.#o.config.overload === 'sample') return undefined;
    if (transport === 'self') return undefined;
    return this.#rates.refusal(tenant, this.#o.clock.monotonicMs());
  }

  /** Of sampled messages only the part that is kept counts. */
  #spend({ tenant, transport, body }: Message, { spans, unsampled }: DecodeReport): void {
    if (!this.#rates.enabled || spans === 0 || transport === 'self') return;
    const kept = spans - unsampled;
    const bytes = (body.byteLength * kept) / spans;
    const debtMaxS = this.#o.config.overload === 'sample' ? SAMPLED_DEBT_S : Infinity;
    this.#rates.spend(tenant, kept, bytes, this.#o.clock.monotonicMs(), debtMaxS);
  }

  #bookRejected(report: DecodeReport): void {
    for (const [reason, count] of report.reasons) this.#o.ledger.reject(reason, count);
  }

  #countDecoded(message: Message, report: DecodeReport, truncations: number): void {
    const { metrics } = this.#o;
    const transport = { transport: message.transport };
    this.#countReceived(message, report.spans);
    metrics.spans.inc(transport, report.spans);
    metrics.messageSpans.set(transport, report.spans);
    const dropped = report.rejected + report.unsampled;
    if (dropped > 0) metrics.spansDropped.inc(transport, dropped);
    for (const [rule, count] of report.normalized) metrics.spansNormalized.inc({ rule }, count);
    if (truncations > 0) metrics.spansNormalized.inc({ rule: 'truncated' }, truncations);
  }

  #countReceived({ tenant, transport, format }: Message, spans: number): void {
    const known = this.#tenants.size <= TENANT_LABELS_MAX || this.#tenants.has(tenant);
    const label = known ? tenant : 'other';
    this.#o.metrics.spansReceived.inc({ tenant: label, transport, format }, spans);
  }

  #tenantBytes(tenant: string): Uint8Array {
    const known = this.#tenants.get(tenant);
    if (known !== undefined) return known;
    const bytes = Buffer.from(tenant);
    if (this.#tenants.size <= TENANT_LABELS_MAX) this.#tenants.set(tenant, bytes);
    return bytes;
  }
}

const SUFFIXES: Readonly<Record<string, string>> = { proto3: 'proto3', thrift: 'TBinary' };

/** In Zipkin's words, which name the decoder at the end. */
function outcomeOfNothing(
  format: string,
  report: DecodeReport,
  error: MessageError | undefined,
): PushOutcome {
  if (error !== undefined) return { kind: 'rejected', report, message: error.message };
  const first = report.first[0];
  if (report.rejected === 0 || first === undefined) return ACCEPTED;
  const what = first.detail === '' ? first.reason : first.detail;
  const message = `${what} reading List<Span> from ${SUFFIXES[format] ?? 'json'}`;
  return { kind: 'rejected', report, message };
}

/** @param retentionMs as long as storage keeps spans; 0: for ever */
export function agesOf(config: DistributorConfig, retentionMs: number): AgeLimits {
  const { rejectOlderThanMs: older, rejectNewerThanMs: newerThanMs } = config;
  return { olderThanMs: older === 'retention' ? retentionMs : older, newerThanMs };
}

export function limitsOf(config: DistributorConfig): SpanLimits {
  return {
    spanBytesMax: config.spanBytesMax,
    tagsMax: config.tagsPerSpanMax,
    annotationsMax: config.annotationsPerSpanMax,
    tagKeyBytesMax: config.tagKeyBytesMax,
    tagValueBytesMax: config.tagValueBytesMax,
    annotationBytesMax: config.annotationBytesMax,
    nameBytesMax: config.nameBytesMax,
    serviceNameBytesMax: config.serviceNameBytesMax,
  };
}
