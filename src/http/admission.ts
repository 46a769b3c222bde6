/**
 * What the server takes on at the same time: requests and body bytes. Everything counted in is
 * counted out by the ticket's one release, whatever became of the request.
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

export class Admission {
  readonly #limits: AdmissionLimits;
  readonly #metrics: Pick<Metrics, 'inflightRequests' | 'inflightBytes'>;
  #requests = 0;
  #bytes = 0;
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

  /** @throws CodedError SCRUBJAY_ERR_DRAINING, SCRUBJAY_ERR_OVERLOADED */
  enter(): AdmissionTicket {
    if (this.#closed) throw new CodedError('SCRUBJAY_ERR_DRAINING');
    if (this.#requests >= this.#limits.inflightRequestsMax) {
      throw new CodedError('SCRUBJAY_ERR_OVERLOADED', {
        what: 'Requests',
        actual: this.#requests,
        limit: this.#limits.inflightRequestsMax,
        setting: 'SCRUBJAY_INGEST_MAX_INFLIGHT_REQUESTS',
      });
    }
    this.#requests++;
    this.#metrics.inflightRequests.set(this.#requests);
    let held = 0;
    let released = false;
    return {
      grow: (more) => {
        this.#take(more);
        held += more;
      },
      release: () => {
        if (released) return;
        released = true;
        this.#give(held);
      },
    };
  }

  #take(bytes: number): void {
    const actual = this.#bytes + bytes;
    if (actual > this.#limits.inflightBytesMax) {
      throw new CodedError('SCRUBJAY_ERR_OVERLOADED', {
        what: 'Body bytes',
        actual,
        limit: this.#limits.inflightBytesMax,
        setting: 'SCRUBJAY_INGEST_MAX_INFLIGHT_BYTES',
      });
    }
    this.#bytes = actual;
    this.#metrics.inflightBytes.set(actual);
  }

  #give(bytes: number): void {
    this.#requests--;
    this.#bytes -= bytes;
    this.#metrics.inflightRequests.set(this.#requests);
    this.#metrics.inflightBytes.set(this.#bytes);
  }
}
