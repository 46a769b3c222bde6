/**
 * In which order messages that have come in are decoded when there are tenants. Decoding is most
 * of the work of the acceptor, so without this a tenant with a thousand connections would have a
 * thousand messages decoded before the one of its neighbour.
 *
 * Start-time fair queueing (Goyal, Vin and Cheng 1996) by bytes: the next is of the tenant that had
 * the least so far, and who comes back after a rest starts where the others are. Between two
 * helpings the event loop looks for what has come in meanwhile.
 */

/** Bytes of bodies decoded before the event loop goes round: some 2 ms. */
const HELPING_BYTES = 1024 ** 2;

interface Waiter {
  readonly bytes: number;
  readonly start: () => void;
}

export class FairTurns {
  readonly #nextRound: (run: () => void) => void;
  /** Of tenants of which a message waits. */
  readonly #queues = new Map<string, Set<Waiter>>();
  /** In virtual bytes: when the next message of a tenant begins, unless it has rested. */
  readonly #startAt = new Map<string, number>();
  /** Where those begin that have rested. */
  #virtual = 0;
  #spent = 0;
  #isPlanned = false;

  /** @param nextRound runs it when the event loop has looked at the sockets */
  constructor(nextRound: (run: () => void) => void = setImmediate) {
    this.#nextRound = nextRound;
  }

  /** @returns undefined: it is its turn now */
  turn(tenant: string, bytes: number): Promise<void> | undefined {
    this.#plan();
    const queue = this.#queues.get(tenant);
    if (queue === undefined) {
      const startAt = Math.max(this.#virtual, this.#startAt.get(tenant) ?? 0);
      this.#startAt.set(tenant, startAt);
    }
    if (this.#queues.size === 0 && this.#spent < HELPING_BYTES) {
      this.#charge(tenant, bytes);
      return undefined;
    }
    return new Promise((start) => {
      const waiter = { bytes, start };
      if (queue === undefined) this.#queues.set(tenant, new Set([waiter]));
      else queue.add(waiter);
    });
  }

  #charge(tenant: string, bytes: number): void {
    const startAt = this.#startAt.get(tenant) ?? 0;
    this.#virtual = Math.max(this.#virtual, startAt);
    this.#startAt.set(tenant, startAt + bytes);
    this.#spent += bytes;
  }

  #plan(): void {
    if (this.#isPlanned) return;
    this.#isPlanned = true;
    this.#nextRound(() => {
      this.#round();
    });
  }

  #round(): void {
    // Time goes on for all, or names that are always new would always be before the others.
    this.#virtual += this.#spent / Math.max(1, this.#queues.size);
    this.#isPlanned = false;
    this.#spent = 0;
    while (this.#queues.size > 0 && this.#spent < HELPING_BYTES) this.#serve();
    if (this.#queues.size > 0) this.#plan();
    for (const [tenant, startAt] of this.#startAt) {
      if (startAt <= this.#virtual && !this.#queues.has(tenant)) this.#startAt.delete(tenant);
    }
  }

  #serve(): void {
    let tenant = '';
    let least = Infinity;
    for (const other of this.#queues.keys()) {
      const startAt = this.#startAt.get(other) ?? 0;
      if (startAt >= least) continue;
      least = startAt;
      tenant = other;
    }
    const queue = this.#queues.get(tenant)!;
    const [waiter] = queue;
    queue.delete(waiter!);
    if (queue.size === 0) this.#queues.delete(tenant);
    this.#charge(tenant, waiter!.bytes);
    waiter!.start();
  }
}
