/** The ledger of one life against what its senders were told. Both must agree at every step. */
import type { PushOutcome } from '../../src/distributor/outcome.ts';
import type { LedgerEntries } from '../../src/telemetry/ledger.ts';
import type { Message } from './messages.ts';

export class Books {
  /** Spans of answers that say they are durable, now or from an equal message before. */
  #durable = 0;
  #rejected = 0;
  /** At most: a message refused before it is read is in no book. */
  #refusedMax = 0;

  answered({ rows, rejected }: Message, outcome: PushOutcome): void {
    const isKept = outcome.kind === 'accepted' || outcome.kind === 'partial';
    if (isKept) this.#durable += rows.length;
    if (outcome.kind === 'partial' || outcome.kind === 'rejected') this.#rejected += rejected;
    if (outcome.kind === 'refused') this.#refusedMax += rows.length + rejected;
  }

  /** @returns what does not agree, in words */
  problems(books: LedgerEntries, storedRows: number): string[] {
    const { accepted, recovered, duplicate, rejected, refused, stored, pending } = books;
    const problems: string[] = [];
    const check = (holds: boolean, what: string): void => {
      if (!holds) problems.push(`the ledger ${what}: ${JSON.stringify(books)}`);
    };
    check(books.imbalance === 0, 'does not balance');
    check(accepted - recovered + duplicate === this.#durable, `is not at ${this.#durable} durable`);
    check(rejected === this.#rejected, `is not at ${this.#rejected} rejected`);
    check(refused <= this.#refusedMax, `is beyond ${this.#refusedMax} refused`);
    check(stored <= storedRows, `has more than ${storedRows} stored`);
    check(pending >= 0, 'has less than nothing pending');
    return problems;
  }
}
