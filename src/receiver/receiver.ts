/**
 * The POST routes: admission, body, tenant, inflate, format, push, answer. What a span is, is known
 * to the codec; what becomes of it, to the distributor.
 */
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import type { SettingValues } from '../base/settings.ts';
import type { PushOutcome } from '../distributor/outcome.ts';
import type { Admission, AdmissionTicket } from '../http/admission.ts';
import { declaredBytes, readBody } from '../http/body.ts';
import { inflate } from '../http/inflate.ts';
import { addRoute } from '../http/paths.ts';
import type { Decode } from '../model/decode-report.ts';
import { firstHeader } from '../http/headers.ts';
import type { Metrics } from '../telemetry/metrics.ts';
import type { Activity, SelfTracer } from '../telemetry/self-tracing.ts';
import { answerAccepted, answerOutcome } from './answers.ts';
import { ClientFamilies } from './client-family.ts';
import type { receiverSettings } from './config.ts';
import { FairTurns } from './fair-turns.ts';

/** What the path and the content type make probable; the content decides. */
export interface FormatHint {
  readonly path: 'v1' | 'v2';
  readonly contentType: string;
}

/** Finds the format of a body: how to decode it, or what Zipkin would say. */
export type Detect = (
  body: Uint8Array,
  hint: FormatHint,
) => { readonly format: string; readonly decode: Decode } | { readonly message: string };

/** A message as it came in, inflated. */
export interface Message {
  readonly tenant: string;
  readonly transport: 'http';
  readonly format: string;
  /** Family of the User-Agent. */
  readonly client: string;
  readonly body: Uint8Array;
  readonly decode: Decode;
  /** Of the program's own tracing. */
  readonly activity: Activity;
}

/** Where messages go. */
export interface Distributor {
  /** Resolves when what was kept is durable. */
  push(message: Message): PushOutcome | Promise<PushOutcome>;
  /** @throws CodedError SCRUBJAY_ERR_TENANT_MISSING, SCRUBJAY_ERR_TENANT_MALFORMED */
  tenantOf(header: string | undefined): string;
  /** Are there tenants at all? */
  readonly hasTenants: boolean;
  /** Why nothing can be taken now; asked before the body is read. */
  refusal(): CodedError | undefined;
}

export type ReceiverConfig = SettingValues<typeof receiverSettings>;

export interface ReceiverDependencies {
  readonly config: ReceiverConfig;
  readonly limits: { readonly bodyBytesMax: number; readonly inflatedBytesMax: number };
  readonly admission: Admission;
  readonly distributor: Distributor;
  readonly detect: Detect;
  readonly metrics: Pick<
    Metrics,
    'messages' | 'messagesDropped' | 'bytes' | 'messageBytes' | 'ackSeconds'
  >;
  readonly tracer: Pick<SelfTracer, 'start'>;
  readonly clock: Clock;
}

const TRANSPORT = { transport: 'http' } as const;

/** Registers the POST routes, or nothing when COLLECTOR_HTTP_ENABLED is false. */
export function registerReceiver(app: FastifyInstance, dependencies: ReceiverDependencies): void {
  if (!dependencies.config.httpEnabled) return;
  const receiver = new Receiver(dependencies);
  addRoute(app, 'POST', '/api/v2/spans', (request, reply) =>
    receiver.receive('v2', request, reply),
  );
  addRoute(app, 'POST', '/api/v1/spans', (request, reply) =>
    receiver.receive('v1', request, reply),
  );
}

class Receiver {
  readonly #dependencies: ReceiverDependencies;
  readonly #partialStatus: number;
  readonly #clients = new ClientFamilies();
  readonly #turns = new FairTurns();
  readonly #messages;
  readonly #messagesDropped;
  readonly #bytes;
  readonly #messageBytes;

  constructor(dependencies: ReceiverDependencies) {
    const { config, metrics } = dependencies;
    this.#dependencies = dependencies;
    this.#partialStatus = Number(config.partialStatus);
    this.#messages = metrics.messages.labels(TRANSPORT);
    this.#messagesDropped = metrics.messagesDropped.labels(TRANSPORT);
    this.#bytes = metrics.bytes.labels(TRANSPORT);
    this.#messageBytes = metrics.messageBytes.labels(TRANSPORT);
  }

  /** Every message is counted; those answered with an error and nothing kept also as dropped. */
  async receive(
    path: FormatHint['path'],
    request: FastifyRequest,
    reply: FastifyReply,
  ): Promise<void> {
    const { limits, admission, distributor, tracer } = this.#dependencies;
    const activity = tracer.start('receive', 'SERVER', request.headers);
    this.#messages.inc();
    let ticket: AdmissionTicket | undefined;
    try {
      const refusal = distributor.refusal();
      if (refusal !== undefined) throw refusal;
      const declared = declaredBytes(request.raw, limits.bodyBytesMax);
      const tenant = distributor.tenantOf(firstHeader(request.raw, 'x-scope-orgid'));
      // Bytes count as they come: what a header declares holds no place.
      ticket = admission.enter(distributor.hasTenants ? tenant : undefined);
      const wire = await readBody(request.raw, declared, limits.bodyBytesMax, ticket.grow);
      await this.#take(path, tenant, request, reply, wire, ticket, activity);
      activity.tag('http.status_code', reply.statusCode);
    } catch (error) {
      this.#messagesDropped.inc();
      activity.error(error);
      throw error;
    } finally {
      ticket?.release();
      activity.tag('http.method', request.method);
      activity.tag('http.path', request.url);
      activity.end();
    }
  }

  async #take(
    path: FormatHint['path'],
    tenant: string,
    request: FastifyRequest,
    reply: FastifyReply,
    wire: Buffer,
    ticket: AdmissionTicket,
    activity: Activity,
  ): Promise<void> {
    const { distributor, detect, limits, metrics, clock } = this.#dependencies;
    const { headers } = request;
    const beganMs = clock.monotonicMs();
    const encoding = headers['content-encoding'];
    const body = await inflate(wire, encoding, limits.inflatedBytesMax, ticket.grow);
    // Zipkin's own words; of protobuf, an empty message is what reporters send on every flush.
    const saysGzip = encoding?.includes('gzip') === true;
    if (body.length === 0 && wire.length > 0 && saysGzip && !isProtobuf(request.sentContentType)) {
      throw new CodedError('SCRUBJAY_ERR_GUNZIP');
    }
    if (isEmptyList(body)) {
      answerAccepted(reply);
      return;
    }
    this.#bytes.inc(body.length);
    activity.tag('bytes', body.length);
    this.#messageBytes.set(body.length);
    if (distributor.hasTenants) await this.#turns.turn(tenant, body.length);
    const found = detect(body, { path, contentType: request.sentContentType });
    if ('message' in found) throw new CodedError('SCRUBJAY_ERR_FORMAT', { detail: found.message });
    const outcome = await distributor.push({
      tenant,
      transport: 'http',
      format: found.format,
      client: this.#clients.of(headers['user-agent']),
      body,
      decode: found.decode,
      activity,
    });
    if (outcome.kind === 'rejected') this.#messagesDropped.inc();
    if (outcome.kind === 'accepted' || outcome.kind === 'partial') {
      metrics.ackSeconds.observe((clock.monotonicMs() - beganMs) / 1000);
    }
    answerOutcome(reply, outcome, this.#partialStatus);
  }
}

/** No bytes or `[]`: what reporters send to see whether somebody is there, in any format. */
const isEmptyList = (body: Uint8Array): boolean =>
  body.length === 0 || (body.length === 2 && body[0] === 0x5b && body[1] === 0x5d);

const isProtobuf = (contentType: string): boolean => /protobuf/i.test(contentType);
