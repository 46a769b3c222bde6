/** Clients out of the npm registry, in this process, send to a Scrubjay; it has what they meant. */
import { ROOT_CONTEXT, SpanKind, SpanStatusCode, trace } from '@opentelemetry/api';
import { defaultTextMapGetter, defaultTextMapSetter } from '@opentelemetry/api';
import type { Attributes, Context, HrTime, Span, TextMapPropagator } from '@opentelemetry/api';
import { W3CTraceContextPropagator } from '@opentelemetry/core';
import { ZipkinExporter } from '@opentelemetry/exporter-zipkin';
import { B3InjectEncoding, B3Propagator } from '@opentelemetry/propagator-b3';
import { BasicTracerProvider, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  BatchRecorder,
  ExplicitContext,
  Instrumentation,
  Tracer,
  jsonEncoder as encoders,
  option,
} from 'zipkin';
import type { JsonEncoder, TraceId } from 'zipkin';
import { HttpLogger } from 'zipkin-transport-http';
import { expected, inOrder } from './recorded-spans.ts';
import type { SentSpan } from './recorded-spans.ts';
import { getTrace, startScrubjay, until } from './scrubjay-process.ts';
import type { FoundSpan, Scrubjay } from './scrubjay-process.ts';

const FOUND_MS_MAX = 15_000;

let scrubjay: Scrubjay;

beforeAll(async () => {
  scrubjay = await startScrubjay();
});
afterAll(() => scrubjay?.stop());

/** The trace once it has so many spans: the clients send on their own time. */
const wholeTrace = (reference: string, spans: number): Promise<FoundSpan[]> =>
  until(`${spans} spans of ${reference}`, FOUND_MS_MAX, async () => {
    const found = await getTrace(scrubjay, reference);
    return found.length < spans ? undefined : found;
  });

interface ZipkinJsOptions {
  readonly jsonEncoder?: JsonEncoder;
  readonly traceId128Bit: boolean;
}

/** A service under zipkin-js, and the spans that it has logged. */
function zipkinJs(
  localServiceName: string,
  { jsonEncoder, traceId128Bit }: ZipkinJsOptions,
): { tracer: Tracer; logged: SentSpan[] } {
  const path = jsonEncoder === undefined ? '/api/v1/spans' : '/api/v2/spans';
  const http = new HttpLogger({
    endpoint: scrubjay.url + path,
    httpInterval: 20,
    ...(jsonEncoder === undefined ? {} : { jsonEncoder }),
  });
  const logged: SentSpan[] = [];
  const recorder = new BatchRecorder({
    logger: {
      logSpan: (span) => {
        logged.push(JSON.parse(JSON.stringify(span)) as SentSpan);
        http.logSpan(span);
      },
    },
  });
  const ctxImpl = new ExplicitContext();
  const tracer = new Tracer({ ctxImpl, recorder, localServiceName, traceId128Bit });
  return { tracer, logged };
}

type Headers = Record<string, string>;

/** A call from within a local span: the callee gets the B3 headers and says the status. */
function call(tracer: Tracer, callee: (headers: Headers) => string): TraceId {
  const client = new Instrumentation.HttpClient({ tracer, remoteServiceName: 'Orders' });
  return tracer.local('Checkout', () => {
    tracer.recordBinary('cart.items', 3);
    tracer.recordMessage('cache miss');
    const root = tracer.id;
    tracer.scoped(() => {
      const url = 'http://orders.example/orders/7?q=1';
      const { headers } = client.recordRequest<{ headers?: Headers }>({ headers: {} }, url, 'GET');
      const { id } = tracer;
      client.recordResponse(id, callee(headers ?? {}));
    });
    return root;
  });
}

/** Takes the call of an order, which fails, within the span of the caller. */
function serve(tracer: Tracer, headers: Headers): string {
  const server = new Instrumentation.HttpServer({ tracer, port: 8080, host: '10.0.0.7' });
  return tracer.scoped(() => {
    const readHeader = <T>(name: string): option.IOption<T> =>
      option.fromNullable(headers[name] as T);
    const id = server.recordRequest('get', 'http://orders.example/orders/7', readHeader);
    tracer.recordBinary('text', 'café ☃ 🚀');
    server.recordResponse(id, '500');
    return '500';
  });
}

describe('zipkin-js', () => {
  test.each([
    ['its default, JSON v1, with 64-bit ids', undefined, false],
    ['its default, JSON v1, with 128-bit ids', undefined, true],
    ['JSON v2 with 64-bit ids', encoders.JSON_V2, false],
    ['JSON v2 with 128-bit ids', encoders.JSON_V2, true],
  ])('by %s: local spans and both halves of a call', async (_, jsonEncoder, traceId128Bit) => {
    const options = { traceId128Bit, ...(jsonEncoder === undefined ? {} : { jsonEncoder }) };
    const shop = zipkinJs('Shop', options);
    const orders = zipkinJs('Orders', options);
    const root = call(shop.tracer, (headers) => serve(orders.tracer, headers));

    expect(root.traceId).toMatch(traceId128Bit ? /^[\da-f]{32}$/ : /^[\da-f]{16}$/);
    const sent = [...shop.logged, ...orders.logged].map((span) => expected(span));
    const found = await wholeTrace(root.traceId, 3);
    expect(inOrder(found)).toEqual(inOrder(sent));

    const { traceId, spanId } = root;
    const callId = found.find(({ kind }) => kind === 'CLIENT')!.id;
    const anyTime = expect.any(Number) as number;
    const times = { timestamp: anyTime, duration: anyTime };
    const tags = { 'http.path': '/orders/7', 'http.status_code': '500', error: '500' };
    expect(inOrder(found)).toEqual(
      inOrder([
        {
          ...times,
          traceId,
          id: spanId,
          name: 'checkout',
          localEndpoint: { serviceName: 'shop' },
          annotations: [{ timestamp: anyTime, value: 'cache miss' }],
          tags: { 'cart.items': '3' },
        },
        {
          ...times,
          traceId,
          parentId: spanId,
          id: callId,
          kind: 'CLIENT',
          name: 'get',
          localEndpoint: { serviceName: 'shop' },
          remoteEndpoint: { serviceName: 'orders' },
          tags,
        },
        {
          ...times,
          traceId,
          parentId: spanId,
          id: callId,
          kind: 'SERVER',
          name: 'get',
          localEndpoint: { serviceName: 'orders', ipv4: '10.0.0.7', port: 8080 },
          tags: { ...tags, text: 'café ☃ 🚀' },
          shared: true,
        },
      ]),
    );
    expect(await getTrace(scrubjay, `X-B3-TraceId: ${traceId}`)).toEqual(found);
  });
});

/** What of a span the test says; ids are made by the SDK. */
interface Told {
  readonly service: string;
  readonly kind: SpanKind;
  readonly attributes?: Attributes;
  /** Nanoseconds after the start of the test, and how many. */
  readonly at: number;
  readonly lasts: number;
}

const KINDS = [undefined, 'SERVER', 'CLIENT', 'PRODUCER', 'CONSUMER'] as const;

/** Services under OpenTelemetry: what they send, and what it should be read as. */
class OpenTelemetry {
  readonly #provider: BasicTracerProvider;
  readonly #startSeconds = Math.floor(Date.now() / 1000);
  readonly sent: FoundSpan[] = [];

  constructor(url: string) {
    const exporter = new ZipkinExporter({ url: `${url}/api/v2/spans` });
    const exported = new SimpleSpanProcessor(exporter);
    this.#provider = new BasicTracerProvider({ spanProcessors: [exported] });
  }

  /** @param nanoseconds after the start */
  time(nanoseconds: number): HrTime {
    return [this.#startSeconds, nanoseconds];
  }

  micros(nanoseconds: number): number {
    return this.#startSeconds * 1_000_000 + Math.floor(nanoseconds / 1000);
  }

  /** Starts and ends a span; `during` has its context and may add to it. */
  span(
    name: string,
    parent: Context,
    { service, kind, attributes = {}, at, lasts }: Told,
    during: (context: Context, span: Span) => Partial<FoundSpan> | void,
  ): void {
    const all = { 'service.name': service, ...attributes };
    const options = { kind, attributes: all, startTime: this.time(at) };
    const span = this.#provider.getTracer('interop').startSpan(name, options, parent);
    const added = during(trace.setSpan(parent, span), span) ?? {};
    span.end(this.time(at + lasts));
    const { traceId, spanId } = span.spanContext();
    const parentId = trace.getSpanContext(parent)?.spanId;
    const duration = Math.round(lasts / 1000);
    this.sent.push({
      traceId: traceId.replace(/^0{16}/, ''),
      ...(parentId === undefined ? {} : { parentId }),
      id: spanId,
      ...(KINDS[kind] === undefined ? {} : { kind: KINDS[kind] }),
      name: name.toLowerCase(),
      timestamp: this.micros(at),
      ...(duration === 0 ? {} : { duration }),
      localEndpoint: { serviceName: service.toLowerCase() },
      ...added,
      tags: { ...asTags(attributes), ...added.tags, ...this.#resourceTags(span) },
    });
  }

  /** Across a process boundary: the context that the callee reads out of the headers. */
  hop(caller: Context, propagator: TextMapPropagator, seen: Headers): Context {
    const headers: Headers = {};
    propagator.inject(caller, headers, defaultTextMapSetter);
    Object.assign(seen, headers);
    return propagator.extract(ROOT_CONTEXT, headers, defaultTextMapGetter);
  }

  async stop(): Promise<void> {
    await this.#provider.forceFlush();
    await this.#provider.shutdown();
  }

  /** The exporter makes tags of the resource too. */
  #resourceTags(span: Span): Record<string, string> {
    const { resource } = span as unknown as { resource: { attributes: Attributes } };
    return asTags(resource.attributes);
  }
}

const asTags = (attributes: Attributes): Record<string, string> =>
  Object.fromEntries(Object.entries(attributes).map(([key, value]) => [key, String(value)]));

const multi = new B3Propagator({ injectEncoding: B3InjectEncoding.MULTI_HEADER });
const single = new B3Propagator({ injectEncoding: B3InjectEncoding.SINGLE_HEADER });
const w3c = new W3CTraceContextPropagator();

describe('OpenTelemetry', () => {
  test('over B3 in several headers, W3C and B3 in one header is one trace', async () => {
    const otel = new OpenTelemetry(scrubjay.url);
    const headers: Headers = {};
    const { SERVER, CLIENT, INTERNAL } = SpanKind;
    const shop = { service: 'Shop', attributes: { 'http.route': '/cart', retries: 2, ok: true } };
    const orders = { service: 'orders', attributes: { 'db.system': 'none' } };
    const stock = { service: 'stock' };

    otel.span('GET /Cart', ROOT_CONTEXT, { ...shop, kind: SERVER, at: 0, lasts: 9e8 }, (root) => {
      otel.span('POST', root, { ...shop, kind: CLIENT, at: 1_234_567, lasts: 8e8 }, (client) => {
        const callee = otel.hop(client, multi, headers);
        const told = { ...orders, kind: SERVER, at: 2_000_750, lasts: 7_000_499 };
        otel.span('POST /orders', callee, told, (server, span) => {
          span.addEvent('cache miss', { key: 'k' }, otel.time(2_500_600));
          otel.span('GET', server, { ...orders, kind: CLIENT, at: 3e6, lasts: 5e6 }, (inner) => {
            const last = otel.hop(inner, w3c, headers);
            otel.span('GET /stock', last, { ...stock, kind: SERVER, at: 4e6, lasts: 3e6 }, fail);
          });
          return { annotations: [{ timestamp: otel.micros(2_501_000), value: 'cache miss' }] };
        });
      });
      otel.span('Send', root, { ...shop, kind: SpanKind.PRODUCER, at: 5e8, lasts: 1e6 }, (send) => {
        const received = otel.hop(send, single, headers);
        const told = { service: 'mail', kind: SpanKind.CONSUMER, at: 6e8, lasts: 1e6 };
        otel.span('receive', received, told, () => undefined);
      });
      otel.span('Tick', root, { ...shop, kind: INTERNAL, at: 8e8, lasts: 300 }, () => undefined);
    });
    await otel.stop();

    const traceId = otel.sent[0]!.traceId;
    const found = await wholeTrace(traceId, 8);
    expect(inOrder(found)).toEqual(inOrder(otel.sent));
    expect(Object.keys(headers).toSorted()).toEqual([
      'b3',
      'traceparent',
      'x-b3-sampled',
      'x-b3-spanid',
      'x-b3-traceid',
    ]);
    for (const name of ['b3', 'traceparent', 'x-b3-traceid']) {
      const value = headers[name]!;
      expect(await getTrace(scrubjay, value), value).toEqual(found);
      expect(await getTrace(scrubjay, `${name}: ${value}`), name).toEqual(found);
    }
  });

  test('below zipkin-js with 64-bit ids is in the trace of 64 bits', async () => {
    const options = { traceId128Bit: false, jsonEncoder: encoders.JSON_V2 };
    const shop = zipkinJs('shop', options);
    const otel = new OpenTelemetry(scrubjay.url);
    const root = call(shop.tracer, (sent) => {
      const lower = Object.entries(sent).map(([name, value]) => [name.toLowerCase(), value]);
      const caller = multi.extract(ROOT_CONTEXT, Object.fromEntries(lower), defaultTextMapGetter);
      const told = { service: 'orders', kind: SpanKind.SERVER, at: 0, lasts: 1e6 };
      otel.span('GET /orders', caller, told, fail);
      return '500';
    });
    await otel.stop();

    const found = await wholeTrace(root.traceId, 3);
    const sent = [...shop.logged.map((span) => expected(span)), ...otel.sent];
    expect(inOrder(found)).toEqual(inOrder(sent));
    expect(root.traceId).toHaveLength(16);
    const padded = root.traceId.padStart(32, '0');
    expect(await getTrace(scrubjay, `00-${padded}-${root.spanId}-01`)).toEqual(found);
  });
});

/** What an error is in OpenTelemetry, and how Zipkin is told. */
function fail(_: Context, span: Span): Partial<FoundSpan> {
  span.setStatus({ code: SpanStatusCode.ERROR, message: 'No such item' });
  return { tags: { 'otel.status_code': 'ERROR', error: 'No such item' } };
}
