/** What was promised to whom, what storage has, and every promise that was broken. */
import type { Message } from './messages.ts';
import type { Row } from './native-rows.ts';

interface Fate {
  readonly message: Message;
  acked: boolean;
  stored: number;
  /** Storage has refused its segment as unreadable: it may wait in corrupt/ for a person. */
  mayBeAside: boolean;
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

  constructor(eventsMax: number) {
    this.#eventsMax = eventsMax;
  }

  get ackedMessages(): number {
    return this.#acked.length;
  }

  sent(message: Message): void {
    if (this.#fates.has(message)) return;
    const fate = { message, acked: false, stored: 0, mayBeAside: false };
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

  refusedByStorage(rows: readonly Row[]): void {
    for (const { text } of rows) {
      const fate = this.#byRow.get(text);
      if (fate !== undefined) fate.mayBeAside = true;
    }
  }

  /** A query was told that all of the first `messages` acknowledged ones are in storage. */
  checkFresh(messages: number): void {
    for (const { message, stored, mayBeAside } of this.#acked.slice(0, messages)) {
      if (stored === message.rows.length || mayBeAside) continue;
      this.problem(`a query missed message ${message.number}, acknowledged before it began`);
    }
  }

  /** At the end of all: nothing is under way any more. */
  checkAll(): void {
    for (const { message, acked, stored } of this.#fates.values()) {
      const due = message.rows.length;
      if (stored === due || (stored === 0 && !acked)) continue;
      const what = acked ? 'acknowledged' : 'not acknowledged';
      this.problem(`message ${message.number} was ${what}: ${stored} of ${due} rows are stored`);
    }
  }

  problem(text: string): void {
    this.problems.push(text);
  }

  event(nowMs: number, text: string): void {
    this.events.push(`${nowMs.toFixed(1)} ${text}`);
    if (this.events.length > this.#eventsMax) this.events.shift();
  }
}
