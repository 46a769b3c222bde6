/** Links of any window, whatever arrives in whatever order, against linking all traces anew. */
import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { systemClock } from '../../../src/base/clock.ts';
import type { DependencyLink } from '../../../src/model/dependency-link.ts';
import type { LinkRow } from '../../../src/storage/contract.ts';
import { DependencyLinker } from '../../../src/query/dependency-linker.ts';
import { LinkIndex } from '../../../src/query/link-index.ts';
import type { LinkWindow } from '../../../src/query/tenant-links.ts';
import { groupRows, orderRows } from '../../../src/query/trace-links.ts';
import { createLogger } from '../../../src/telemetry/logger.ts';
import { FakeLinks, START_MS, linkRow } from './link-store-fake.ts';

const HOUR_MS = 3_600_000;
const TENANTS = ['default', 'other'] as const;
const signal = new AbortController().signal;

/** Close together, across minutes, hours and days, at the edges of minutes. */
const atMs = fc.oneof(
  fc.integer({ min: 0, max: 500 }),
  fc.integer({ min: 0, max: 4 * 60_000 }),
  fc.integer({ min: 0, max: 30 * HOUR_MS }),
  fc.integer({ min: 1, max: 5 }).map((n) => n * 60_000 - (START_MS % 60_000)),
  fc.integer({ min: 1, max: 5 }).map((n) => n * 60_000 - (START_MS % 60_000) - 1),
);
const service = fc.constantFrom('a', 'b', 'c', undefined);
const anyRow: fc.Arbitrary<LinkRow> = fc
  .record({
    tenant: fc.constantFrom('default', 'default', 'default', 'other'),
    trace: fc.integer({ min: 1, max: 6 }),
    id: fc.integer({ min: 1, max: 5 }),
    parentId: fc.option(fc.integer({ min: 1, max: 5 }), { nil: undefined }),
    kind: fc.constantFrom('CLIENT', 'SERVER', 'PRODUCER', 'CONSUMER', undefined),
    shared: fc.boolean(),
    atMs: fc.option(atMs, { nil: undefined, freq: 8 }),
    localService: service,
    localIpv4: fc.constantFrom('1.2.3.4', '1.2.3.5', undefined),
    remoteService: service,
    error: fc.boolean(),
  })
  .map((parts) => linkRow({ ...parts, shared: parts.shared && parts.kind !== 'CLIENT' }));

const anyWindow: fc.Arbitrary<LinkWindow> = fc
  .tuple(
    atMs,
    fc.oneof(atMs, fc.integer({ min: 59_990, max: 60_010 })),
    fc.constantFrom(0, HOUR_MS),
  )
  .map(([endMs, lengthMs, laterMs]) => {
    const toMs = START_MS + endMs + laterMs;
    return { fromMs: toMs - lengthMs, toMs };
  });

type Command =
  | { readonly do: 'store'; readonly rows: readonly LinkRow[]; readonly late: boolean }
  | { readonly do: 'ask'; readonly window: LinkWindow; readonly tenant: string }
  | { readonly do: 'restart' | 'remove' };
const anyCommand: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('store' as const),
      rows: fc.array(anyRow, { minLength: 1, maxLength: 6 }),
      late: fc.boolean(),
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant('ask' as const),
      window: anyWindow,
      tenant: fc.constantFrom(...TENANTS),
    }),
  },
  { weight: 2, arbitrary: fc.constant<Command>({ do: 'restart' }) },
  { weight: 1, arbitrary: fc.constant<Command>({ do: 'remove' }) },
);

function expected(
  rows: readonly LinkRow[],
  tenant: string,
  { fromMs, toMs }: LinkWindow,
): string[] {
  const linker = new DependencyLinker();
  for (const trace of groupRows(rows).get(tenant)?.values() ?? []) {
    const isWithin = trace.some(({ timestamp }) => {
      const ms = timestamp === undefined ? -1 : Math.floor(Number(timestamp) / 1000);
      return ms >= fromMs && ms <= toMs;
    });
    if (isWithin) linker.putTrace(orderRows(trace));
  }
  return sorted(linker.link());
}

const sorted = (links: readonly DependencyLink[]): string[] =>
  links.map((link) => JSON.stringify(link)).toSorted();

const createIndex = (links: FakeLinks, memory = {}): LinkIndex =>
  new LinkIndex({
    reader: links,
    store: links,
    clock: systemClock,
    logger: createLogger('silent', false),
    busy: () => false,
    arrivals: () => 0,
    memory,
    stepRows: 5,
  });

/** @returns what was found and what is right, of each question */
async function play(
  commands: readonly Command[],
  recentRowsMax: number,
): Promise<[found: string[][], right: string[][]]> {
  const links = new FakeLinks();
  const memory = { recentRowsMax, filterPartsMax: 4 };
  let index = createIndex(links, memory);
  let [batch, lateBatch] = [1000n, 999n];
  const found: string[][] = [];
  const right: string[][] = [];
  for (const command of commands) {
    if (command.do === 'store') links.add(command.late ? lateBatch-- : batch++, command.rows);
    else if (command.do === 'ask') {
      const { window, tenant } = command;
      found.push(sorted(await index.links(tenant, window, signal)));
      right.push(expected(links.stored, tenant, window));
    } else if (command.do === 'restart') {
      await index.stop(1000);
      index = createIndex(links, memory);
    } else {
      links.stored.splice(0, 3);
      // Were as many to come before the next look, nobody would notice.
      await index.links('default', { fromMs: 0, toMs: START_MS }, signal);
    }
  }
  return [found, right];
}

describe('Links of windows', () => {
  test('are those of the traces in them, whatever came before, late, twice or between', async () => {
    const commands = fc.array(anyCommand, { maxLength: 30 });
    await fc.assert(
      fc.asyncProperty(commands, fc.constantFrom(0, 3, 1000), async (all, recentRowsMax) => {
        const [found, right] = await play(all, recentRowsMax);
        expect(found).toEqual(right);
      }),
      { numRuns: 300 },
    );
  });
});
