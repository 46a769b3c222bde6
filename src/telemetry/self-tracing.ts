/**
 * Traces of the program itself. Other folders see an Activity and a tracer to begin one; only this
 * file and the exporter know OpenTelemetry, and load its SDK when self-tracing is on.
 *
 *   request ─► SelfTracer.start ─► caller's context ─► gate ─► Activity ─► child … ─► end
 *                                                        └─► NO_ACTIVITY          └─► SpanBatcher
 *
 * Nothing is ambient: an activity is passed on or there is none. So the spans of a request that is
 * not traced cost one comparison each, and storing our own spans, which passes none, makes none.
 */
import {
  ROOT_CONTEXT,
  SpanKind,
  SpanStatusCode,
  TraceFlags,
  createContextKey,
  defaultTextMapSetter,
  trace,
} from '@opentelemetry/api';
import type {
  Context,
  HrTime,
  Span,
  TextMapGetter,
  TextMapPropagator,
  TextMapSetter,
  Tracer,
} from '@opentelemetry/api';
import type { Clock } from '../base/clock.ts';
import type { SettingValues } from '../base/settings.ts';
import type { telemetrySettings } from './config.ts';
import { DEBUG, REMOTE_SERVICE, SpanBatcher } from './self-tracing-exporter.ts';
import type { SpanBatcherOptions } from './self-tracing-exporter.ts';

/** LOCAL: within the process. */
export type ActivityKind = 'SERVER' | 'CLIENT' | 'LOCAL';

export type RequestHeaders = Readonly<Record<string, string | string[] | undefined>>;

/** What a request says of the trace that it belongs to; ids are both there or both absent. */
export interface CallerContext {
  readonly traceId?: string;
  readonly spanId?: string;
  readonly sampled?: boolean;
  readonly debug?: boolean;
}

export interface SelfTracerOptions extends Omit<SpanBatcherOptions, 'flushIntervalMs' | 'clock'> {
  readonly settings: Pick<
    SettingValues<typeof telemetrySettings>,
    | 'selfTracingEnabled'
    | 'selfTracingSampleRate'
    | 'selfTracingTracesPerSecond'
    | 'selfTracingFlushIntervalMs'
  >;
  readonly clock: Clock;
  /** In [0, 1). */
  readonly random: () => number;
  /** Reads B3 and W3C; names are in lower case. */
  readonly parse: (get: (name: string) => string | undefined) => CallerContext | undefined;
  readonly formatTraceparent: (context: {
    readonly traceId: string;
    readonly spanId: string;
    readonly sampled: boolean;
  }) => string;
}

/**
 * Callers that sample have the say, as in Brave, and that is no way to press on us: so many a
 * second are continued.
 */
const CONTINUED_PER_SECOND_MAX = 100;
/** Segments whose insert belongs to a trace and has not begun. */
const CLAIMS_MAX = 64;
const ERROR_CHARS_MAX = 200;
const SAMPLED: number = TraceFlags.SAMPLED;
const KINDS = {
  SERVER: SpanKind.SERVER,
  CLIENT: SpanKind.CLIENT,
  LOCAL: SpanKind.INTERNAL,
} as const satisfies Record<ActivityKind, SpanKind>;

/** What the activities of one trace share. */
interface Recording {
  readonly tracer: Tracer;
  readonly outgoing: readonly TextMapPropagator[];
  readonly debug: boolean;
  now(): HrTime;
}

/** A step of the program as a span; of a request that is not traced, nothing. */
export class Activity {
  readonly #recording: Recording | undefined;
  readonly #span: Span | undefined;

  /** @see SelfTracer.start, child */
  constructor(recording?: Recording, span?: Span) {
    this.#recording = recording;
    this.#span = span;
  }

  /** False: whatever is said to it is lost, and need not be worked out. */
  get recording(): boolean {
    return this.#span !== undefined;
  }

  /** @param remote name of the service that is called */
  child(name: string, kind: ActivityKind = 'LOCAL', remote?: string): Activity {
    if (this.#recording === undefined || this.#span === undefined) return this;
    return begin(this.#recording, trace.setSpan(ROOT_CONTEXT, this.#span), name, kind, remote);
  }

  tag(key: string, value: string | number): void {
    this.#span?.setAttribute(key, value);
  }

  error(error: unknown): void {
    if (this.#span === undefined) return;
    const message = error instanceof Error ? error.message : String(error);
    this.#span.setStatus({
      code: SpanStatusCode.ERROR,
      message: message.slice(0, ERROR_CHARS_MAX),
    });
  }

  end(): void {
    if (this.#recording !== undefined) this.#span?.end(this.#recording.now());
  }

  /** B3 and W3C headers for a request that belongs to this activity. */
  headers(): Record<string, string> {
    const headers: Record<string, string> = {};
    if (this.#recording === undefined || this.#span === undefined) return headers;
    const context = trace.setSpan(ROOT_CONTEXT, this.#span);
    for (const propagator of this.#recording.outgoing) {
      propagator.inject(context, headers, defaultTextMapSetter);
    }
    return headers;
  }
}

export const NO_ACTIVITY = new Activity();

/** @param parent context of a span here or at the caller, or of none */
function begin(
  recording: Recording,
  parent: Context,
  name: string,
  kind: ActivityKind,
  remote?: string,
): Activity {
  const options = { kind: KINDS[kind], startTime: recording.now() };
  const span = recording.tracer.startSpan(name, options, parent);
  if (remote !== undefined) span.setAttribute(REMOTE_SERVICE, remote);
  if (recording.debug) span.setAttribute(DEBUG, true);
  return new Activity(recording, span);
}

export class SelfTracer {
  readonly #options: SelfTracerOptions;
  readonly #claims = new Map<bigint, Activity>();
  #recorder: Recorder | undefined;
  #handedOver: Activity | undefined;

  constructor(options: SelfTracerOptions) {
    this.#options = options;
  }

  /** Until then, and when SELF_TRACING_ENABLED is false, nothing is traced. */
  async open(): Promise<void> {
    if (!this.#options.settings.selfTracingEnabled) return;
    this.#recorder = await Recorder.create(this.#options);
  }

  /** Delivers what is finished; traces nothing afterwards. Never rejects. */
  async close(): Promise<void> {
    const recorder = this.#recorder;
    this.#recorder = undefined;
    this.#claims.clear();
    this.#handedOver = undefined;
    await recorder?.batcher.shutdown();
  }

  /**
   * Begins a trace, or continues the one of the caller. NO_ACTIVITY when the caller denies it, and
   * when neither the caller nor rate and limit want it.
   */
  start(name: string, kind: ActivityKind, headers?: RequestHeaders): Activity {
    return this.#recorder === undefined ? NO_ACTIVITY : this.#recorder.start(name, kind, headers);
  }

  /**
   * Spans of this activity were committed, in this tick, to the group that is open now. Of several,
   * the first; it is for whoever writes that group to take over.
   */
  handOver(activity: Activity): void {
    if (this.#recorder !== undefined && activity.recording) this.#handedOver ??= activity;
  }

  /** What was handed over for the group that is closed to others in this tick. */
  takeOver(): Activity {
    if (this.#handedOver === undefined) return NO_ACTIVITY;
    const activity = this.#handedOver;
    this.#handedOver = undefined;
    return activity;
  }

  /** The group goes into the segment of this batch: its insert belongs to the trace. */
  claim(batch: bigint, activity: Activity): void {
    if (!activity.recording || this.#claims.has(batch)) return;
    this.#claims.set(batch, activity);
    const [oldest] = this.#claims.keys();
    if (this.#claims.size > CLAIMS_MAX && oldest !== undefined) this.#claims.delete(oldest);
  }

  /**
   * What is done with a segment, in the trace that claimed it; NO_ACTIVITY when none did. The first
   * attempt only: a storage that is away must not fill the log with our spans.
   */
  resume(batch: bigint, name: string, kind: ActivityKind, remote?: string): Activity {
    if (this.#claims.size === 0) return NO_ACTIVITY;
    const activity = this.#claims.get(batch);
    this.#claims.delete(batch);
    return activity?.child(name, kind, remote) ?? NO_ACTIVITY;
  }
}

/** The part that is there only while self-tracing is on. */
class Recorder {
  readonly batcher: SpanBatcher;
  readonly #tracer: Tracer;
  readonly #incoming: TextMapPropagator<RequestHeaders>;
  readonly #outgoing: readonly TextMapPropagator[];
  readonly #gate: Gate;
  readonly #clock: Clock;

  private constructor(
    options: SelfTracerOptions,
    batcher: SpanBatcher,
    tracer: Tracer,
    b3: TextMapPropagator,
  ) {
    this.batcher = batcher;
    this.#tracer = tracer;
    this.#clock = options.clock;
    this.#gate = new Gate(options);
    const headers = new HeaderPropagator(options.parse, options.formatTraceparent);
    this.#incoming = headers;
    this.#outgoing = [b3, headers];
  }

  static async create(options: SelfTracerOptions): Promise<Recorder> {
    const { settings, clock, deliver, onDropped } = options;
    // Not with the program: who does not trace does not load it.
    const [sdk, { B3Propagator }] = await Promise.all([
      import('@opentelemetry/sdk-trace-base'),
      import('@opentelemetry/propagator-b3'),
    ]);
    const flushIntervalMs = settings.selfTracingFlushIntervalMs;
    const batcher = new SpanBatcher({ flushIntervalMs, clock, deliver, onDropped });
    // The gate has decided before there is a span. Not registered as the provider of the process.
    const sampler = new sdk.AlwaysOnSampler();
    const provider = new sdk.BasicTracerProvider({ sampler, spanProcessors: [batcher] });
    return new Recorder(options, batcher, provider.getTracer('scrubjay'), new B3Propagator());
  }

  start(name: string, kind: ActivityKind, headers?: RequestHeaders): Activity {
    const parent =
      headers === undefined ? ROOT_CONTEXT : this.#incoming.extract(ROOT_CONTEXT, headers, GETTER);
    const caller = callerOf(parent);
    if (!this.#gate.admits(name, caller)) return NO_ACTIVITY;
    const clock = this.#clock;
    const offsetMs = clock.nowMs() - clock.monotonicMs();
    const recording: Recording = {
      tracer: this.#tracer,
      outgoing: this.#outgoing,
      debug: caller?.debug === true,
      now: () => hrTime(offsetMs + clock.monotonicMs()),
    };
    return begin(recording, parent, name, kind);
  }
}

/** Which requests are traced. */
class Gate {
  readonly #options: Pick<SelfTracerOptions, 'settings' | 'clock' | 'random'>;
  readonly #continued = new RateLimit(CONTINUED_PER_SECOND_MAX);
  /** One for each name: queries must not go unseen because spans come in all the time. */
  readonly #begun = new Map<string, RateLimit>();

  constructor(options: Pick<SelfTracerOptions, 'settings' | 'clock' | 'random'>) {
    this.#options = options;
  }

  admits(name: string, caller: CallerContext | undefined): boolean {
    const { settings, clock, random } = this.#options;
    if (caller?.sampled === false) return false;
    if (caller?.sampled === true) return this.#continued.take(clock.monotonicMs());
    if (random() >= settings.selfTracingSampleRate) return false;
    if (settings.selfTracingTracesPerSecond === 0) return true;
    let limit = this.#begun.get(name);
    if (limit === undefined) {
      limit = new RateLimit(settings.selfTracingTracesPerSecond);
      this.#begun.set(name, limit);
    }
    return limit.take(clock.monotonicMs());
  }
}

/** So many a second, counted from the first of them. */
class RateLimit {
  readonly #max: number;
  #sinceMs = Number.NEGATIVE_INFINITY;
  #taken = 0;

  constructor(max: number) {
    this.#max = max;
  }

  take(nowMs: number): boolean {
    if (nowMs - this.#sinceMs >= 1000) {
      this.#sinceMs = nowMs;
      this.#taken = 0;
    }
    if (this.#taken >= this.#max) return false;
    this.#taken++;
    return true;
  }
}

const CALLER = createContextKey('scrubjay caller');
const callerOf = (context: Context): CallerContext | undefined =>
  context.getValue(CALLER) as CallerContext | undefined;

const GETTER: TextMapGetter<RequestHeaders> = {
  get: (headers, name) => headers[name],
  keys: (headers) => Object.keys(headers),
};

/**
 * Reads B3 and W3C as Brave reads them, which OpenTelemetry's own propagators do not: theirs know
 * no `b3: 0`, no undecided context and no way back from a malformed header. Writes W3C; what is
 * written as B3 is left to OpenTelemetry.
 */
class HeaderPropagator implements TextMapPropagator<RequestHeaders> {
  readonly #parse: SelfTracerOptions['parse'];
  readonly #format: SelfTracerOptions['formatTraceparent'];

  constructor(parse: SelfTracerOptions['parse'], format: SelfTracerOptions['formatTraceparent']) {
    this.#parse = parse;
    this.#format = format;
  }

  extract<C>(context: Context, carrier: C, getter: TextMapGetter<C>): Context {
    const caller = this.#parse((name) => {
      const value = getter.get(carrier, name);
      return typeof value === 'object' ? value[0] : value;
    });
    if (caller === undefined) return context;
    const known = context.setValue(CALLER, caller);
    const { traceId, spanId, sampled } = caller;
    if (traceId === undefined || spanId === undefined) return known;
    return trace.setSpanContext(known, {
      traceId: traceId.padStart(32, '0'),
      spanId,
      traceFlags: sampled === true ? SAMPLED : TraceFlags.NONE,
      isRemote: true,
    });
  }

  inject<C>(context: Context, carrier: C, setter: TextMapSetter<C>): void {
    const span = trace.getSpanContext(context);
    if (span === undefined) return;
    const sampled = span.traceFlags === SAMPLED;
    const { traceId, spanId } = span;
    setter.set(carrier, 'traceparent', this.#format({ traceId, spanId, sampled }));
  }

  fields(): string[] {
    return ['traceparent'];
  }
}

function hrTime(ms: number): HrTime {
  const seconds = Math.floor(ms / 1000);
  return [seconds, Math.round((ms - seconds * 1000) * 1_000_000)];
}
