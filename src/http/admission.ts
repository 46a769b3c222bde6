/**
 * What the server takes on at the same time: requests and body bytes. Everything counted in is
 * counted out by the ticket's one release, whatever became of the request.
 *
 * Tenants share a limit as queues share the buffer of a switch (dynamic thresholds, Choudhury and
 * Hahne 1998): a request is taken when the others of its tenant hold no more than is left free.
 * So one tenant alone has half, two that flood have a third each, there is room for whoever comes
 * next, and a single body may be as large as any.
 */
import { CodedError } from '../base/errors.ts';
import type { Metrics } from '../telemetry/metrics.ts';

export interface AdmissionLimits {
  readonly inflightRequestsMax: number;
  readonly inflightBytesMax: number;
}

/** The share of one request. */
export interface AdmissionTicket {
  /**
   * Counts more bytes in: of a chunked body as it comes, of a body as it is inflated.
   * @throws CodedError SCRUBJAY_ERR_OVERLOADED; the bytes are not counted then
   */
  readonly grow: (bytes: number) => void;
  /** Counts everything out; further calls do nothing. */
  readonly release: () => void;
}

interface Held {
  requests: number;
  bytes: number;
}

const KINDS = {
  requests: {
    what: 'Requests',
    setting: 'SCRUBJAY_INGEST_MAX_INFLIGHT_REQUESTS',
    limitOf: (limits: AdmissionLimits) => limits.inflightRequestsMax,
  },
  bytes: {
    what: 'Body bytes',
    setting: 'SCRUBJAY_INGEST_MAX_INFLIGHT_BYTES',
    limitOf: (limits: AdmissionLimits) => limits.inflightBytesMax,
  },
};
const NO_TENANT = '';

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #metrics: Pick<Metrics, 'inflightRequests' | 'inflightBytes'>;
  readonly #all: Held = { requests: 0, bytes: 0 };
  /** Of tenants with a request in flight. */
  readonly #tenants = new Map<string, Held>();
  #closed = false;

  constructor(
    limits: AdmissionLimits,
    metrics: Pick<Metrics, 'inflightRequests' | 'inflightBytes'>,
  ) {
    this.#limits = limits;
    this.#metrics = metrics;
  }

  /** From now on every request is refused with SCRUBJAY_ERR_DRAINING. */
  close(): void {
    this.#closed = true;
  }

  /**
   * @param tenant empty: there are no tenants, the whole limit is for everybody
   * @throws CodedError SCRUBJAY_ERR_DRAINING, SCRUBJAY_ERR_OVERLOADED
   */
  enter(tenant = NO_TENANT): AdmissionTicket {
    if (this.#closed) throw new CodedError('SCRUBJAY_ERR_DRAINING');
    const held = this.#tenants.get(tenant) ?? { requests: 0, bytes: 0 };
    this.#check('requests', tenant, held, 0, 1);
    this.#tenants.set(tenant, held);
    this.#count(held, 1, 0);
    let mine = 0;
    let released = false;
    return {
      grow: (bytes) => {
        this.#check('bytes', tenant, held, mine, bytes);
        this.#count(held, 0, bytes);
        mine += bytes;
      },
      release: () => {
        if (released) return;
        released = true;
        this.#count(held, -1, -mine);
        if (held.requests === 0) this.#tenants.delete(tenant);
      },
    };
  }

  /** @param mine what the request that asks for more has already */
  #check(kind: keyof Held, tenant: string, held: Held, mine: number, more: number): void {
    const { what, setting, limitOf } = KINDS[kind];
    const limit = limitOf(this.#limits);
    const free = limit - this.#all[kind] - more;
    // Of requests those that are in flight are named, of bytes also those that would be.
    const added = kind === 'bytes' ? more : 0;
    if (free < 0) {
      const actual = this.#all[kind] + added;
      throw new CodedError('SCRUBJAY_ERR_OVERLOADED', { what, actual, limit, setting });
    }
    if (tenant === NO_TENANT || held[kind] - mine <= free) return;
    throw new CodedError('SCRUBJAY_ERR_OVERLOADED', {
      what: `${what} of tenant ${tenant}`,
      actual: held[kind] + added,
      limit: free,
      setting,
    });
  }

  #count(held: Held, requests: number, bytes: number): void {
    held.requests += requests;
    held.bytes += bytes;
    this.#all.requests += requests;
    this.#all.bytes += bytes;
    this.#metrics.inflightRequests.set(this.#all.requests);
    this.#metrics.inflightBytes.set(this.#all.bytes);
  }
}
