/** What senders send: JSON bodies with good and bad spans, and the rows that are due for each. */
import type { Chance } from './chance.ts';
import { POISON, rowText } from './native-rows.ts';
import type { MessagePlan } from './plan.ts';

const DAY_MS = 86_400_000;
const DAYS_MAX = 3;
const TOO_OLD_DAYS = 9;
const TENANTS = ['default', 'default', 'red', 'blue'] as const;

export interface Message {
  readonly number: number;
  readonly tenant: string;
  readonly body: Buffer;
  /** Of its good spans; none when the body as a whole is refused. */
  readonly rows: readonly string[];
  /** Bad spans, or all of them when the body as a whole is refused. */
  readonly rejected: number;
}

interface SpanJson {
  readonly row?: string;
  readonly json: string;
}

export class MessageFactory {
  readonly #chance: Chance;
  readonly #plan: MessagePlan;
  #messages = 0;
  #spans = 0;

  constructor(chance: Chance, plan: MessagePlan) {
    this.#chance = chance;
    this.#plan = plan;
  }

  make(nowMs: number): Message {
    const chance = this.#chance;
    const tenant = chance.oneOf(...TENANTS);
    const days = chance.integer(1, DAYS_MAX);
    const isBad = chance.happens(this.#plan.badShare);
    const spans = Array.from({ length: chance.integer(isBad ? 0 : 1, this.#plan.spansMax) }, () =>
      isBad && chance.happens(0.5) ? this.#badSpan(nowMs) : this.#span(tenant, nowMs, days),
    );
    const isCut = isBad && chance.happens(0.3);
    const text = `[${spans.map(({ json }) => json).join()}${isCut ? ',{"traceId":' : ']'}`;
    const rows = isCut ? [] : spans.flatMap(({ row }) => row ?? []);
    return {
      number: this.#messages++,
      tenant,
      body: Buffer.from(text),
      rows,
      rejected: isCut ? Math.max(1, spans.length) : spans.length - rows.length,
    };
  }

  #span(tenant: string, nowMs: number, days: number): SpanJson {
    const chance = this.#chance;
    const id = (++this.#spans).toString(16).padStart(16, '0');
    const traceId = chance.integer(1, 9).toString(16).padStart(32, '0');
    const daysAgo = chance.integer(0, days - 1);
    const timestampUs = chance.happens(this.#plan.untimedShare)
      ? undefined
      : (nowMs - daysAgo * DAY_MS) * 1000 + this.#spans;
    const isPoison = chance.happens(this.#plan.poisonShare);
    const name = isPoison ? POISON : `name-${this.#spans % 5}`;
    const service = `service-${this.#spans % 3}`;
    const tags = [id, 'x'.repeat(chance.integer(0, this.#plan.paddingMax))];
    const json = JSON.stringify({
      traceId,
      id,
      name,
      timestamp: timestampUs,
      localEndpoint: { serviceName: service },
      tags: { id: tags[0], padding: tags[1] },
    });
    return { json, row: rowText({ tenant, traceId, id, timestampUs, name, service, tags }) };
  }

  #badSpan(nowMs: number): SpanJson {
    const id = (++this.#spans).toString(16).padStart(16, '0');
    const timestamp = (nowMs - TOO_OLD_DAYS * DAY_MS) * 1000;
    const bad = this.#chance.oneOf<object | number>(
      { traceId: '1', id: `${id}-x` },
      { traceId: '1', id, timestamp },
      { id },
      this.#spans,
    );
    return { json: JSON.stringify(bad) };
  }
}
