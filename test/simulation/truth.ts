/** What was promised to whom, what storage has, and every promise that was broken. */
import type { Message } from './messages.ts';
import type { Row } from './native-rows.ts';

/** After fewer in one life no good row is set aside beside a refused one (refusals.ts). */
const REFUSALS_MIN = 16;

interface Fate {
  readonly message: Message;
  acked: boolean;
  stored: number;
}

export class Truth {
  readonly problems: string[] = [];
  readonly events: string[] = [];
  /** Rows in storage. */
  storedRows = 0;
  readonly #eventsMax: number;
  readonly #fates = new Map<Message, Fate>();
  readonly #byRow = new Map<string, Fate>();
  readonly #stored = new Set<string>();
  readonly #acked: Fate[] = [];
  /** Rows that storage refused, and those that it refused together with them. */
  readonly #refused = new Set<string>();
  readonly #neighbours = new Set<string>();
  /** Of this life. */
  #refusals = 0;
  /** So many were refused that good rows may be set aside with bad ones. */
  #areMany = false;

  constructor(eventsMax: number) {
    this.#eventsMax = eventsMax;
  }

  get ackedMessages(): number {
    return this.#acked.length;
  }

  sent(message: Message): void {
    if (this.#fates.has(message)) return;
    const fate = { message, acked: false, stored: 0 };
    this.#fates.set(message, fate);
    for (const row of message.rows) this.#byRow.set(row, fate);
  }

  acked(message: Message): void {
    const fate = this.#fates.get(message);
    if (fate === undefined || fate.acked) return;
    fate.acked = true;
    this.#acked.push(fate);
  }

  stored({ text, batch }: Row): void {
    this.storedRows++;
    const fate = this.#byRow.get(text);
    if (fate === undefined) {
      this.problem(`stored in ${batch.toString(16)}, but nobody sent it: ${text}`);
    } else if (this.#stored.has(text)) {
      this.problem(`stored twice, now in ${batch.toString(16)}: ${text}`);
    } else {
      this.#stored.add(text);
      fate.stored++;
    }
  }

  /** @param isTrue it is because of its bad rows; otherwise storage could as well take them all */
  refusedByStorage(rows: readonly Row[], isTrue: boolean): void {
    for (const { text, isPoison } of rows) {
      if (isPoison || !isTrue) this.#refused.add(text);
      else this.#neighbours.add(text);
    }
    this.#refusals++;
    if (this.#refusals >= REFUSALS_MIN) this.#areMany = true;
  }

  /** The collector has forgotten what was refused before. */
  lifeEnds(): void {
    this.#refusals = 0;
  }

  /**
   * A query was told that all of the first `messages` acknowledged ones are in storage, as far as
   * it looks at their rows.
   */
  checkFresh(messages: number, holds: (row: string) => boolean, inLog: ReadonlySet<string>): void {
    for (const { message, stored } of this.#acked.slice(0, messages)) {
      if (stored === message.rows.length) continue;
      const missing = message.rows.filter(
        (row) => holds(row) && !this.#stored.has(row) && !inLog.has(row),
      );
      if (missing.every((row) => this.#mayBeAside(row))) continue;
      this.problem(`a query missed message ${message.number}, acknowledged before it began`);
    }
  }

  /** Nothing is under way any more: each row is in storage or, for a reason, in corrupt/. */
  checkAside(rows: readonly Row[]): void {
    const aside = new Set<string>();
    for (const { text, isPoison } of rows) {
      if (aside.has(text)) this.problem(`set aside twice: ${text}`);
      if (!this.#mayBeAside(text)) this.problem(`set aside without need: ${text}`);
      if (isPoison && this.#stored.has(text)) this.problem(`stored and set aside: ${text}`);
      aside.add(text);
    }
    for (const { message, acked } of this.#fates.values()) {
      const kept = message.rows.filter((row) => this.#stored.has(row) || aside.has(row)).length;
      this.#checkMessage(message, acked, kept, 'stored or set aside');
    }
  }

  #mayBeAside(row: string): boolean {
    return this.#refused.has(row) || (this.#areMany && this.#neighbours.has(row));
  }

  /** At the end of all: nothing is under way any more. */
  checkAll(): void {
    for (const { message, acked, stored } of this.#fates.values()) {
      this.#checkMessage(message, acked, stored, 'stored');
    }
  }

  #checkMessage({ number, rows }: Message, acked: boolean, kept: number, where: string): void {
    const due = rows.length;
    if (kept === due || (kept === 0 && !acked)) return;
    const what = acked ? 'acknowledged' : 'not acknowledged';
    this.problem(`message ${number} was ${what}: ${kept} of ${due} rows are ${where}`);
  }

  problem(text: string): void {
    this.problems.push(text);
  }

  event(nowMs: number, text: string): void {
    this.events.push(`${nowMs.toFixed(1)} ${text}`);
    if (this.events.length > this.#eventsMax) this.events.shift();
  }
}
