/** The promise of the program as a whole: real processes, killed for real. */
import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { getJson, getTrace, startScrubjay, type Scrubjay } from '../../interop/scrubjay-process.ts';

const LIVES = 5;
const CONNECTIONS = 4;
/** Each life ends within so many answers after its first. */
const ACKS_MAX = 120;
const SPANS = 5;
const DAY_US = 86_400_000_000;

const dataDir = mkdtempSync(path.join(tmpdir(), 'scrubjay-kill-'));
afterAll(() => {
  rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 });
});

/** Spans of one trace, over three days: one insert into several partitions. */
function message(traceId: string): string {
  const nowUs = Date.now() * 1000;
  return JSON.stringify(
    Array.from({ length: SPANS }, (_, n) => ({
      traceId,
      id: (n + 1).toString(16).padStart(16, '0'),
      name: 'get',
      timestamp: nowUs - (n % 3) * DAY_US,
      duration: n + 1,
      localEndpoint: { serviceName: `service-${n}` },
      tags: { n: String(n) },
    })),
  );
}

/** Sends until the process is killed, which is when `acksMax` messages were acknowledged. */
async function live(scrubjay: Scrubjay, acksMax: number): Promise<Map<string, boolean>> {
  const acked = new Map<string, boolean>();
  let acks = 0;
  let death: Promise<void> | undefined;
  const send = async (): Promise<void> => {
    while (death === undefined) {
      const traceId = randomBytes(16).toString('hex');
      acked.set(traceId, false);
      try {
        const answer = await fetch(`${scrubjay.url}/api/v2/spans`, {
          method: 'POST',
          headers: { 'content-type': 'application/json' },
          body: message(traceId),
        });
        expect(answer.status).toBe(202);
        acked.set(traceId, true);
        if (++acks === acksMax) death = scrubjay.kill();
      } catch (error) {
        if (death === undefined) throw error;
      }
    }
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, send));
  await death;
  return acked;
}

test('whatever is acknowledged is found once after kill -9, and nothing is there in part', async () => {
  const sent = new Map<string, boolean>();
  const settings = { SCRUBJAY_REJECT_OLDER_THAN: '0' };
  for (let n = 0; n < LIVES; n++) {
    const scrubjay = await startScrubjay(settings, dataDir);
    const acksMax = 1 + (randomBytes(2).readUInt16LE() % ACKS_MAX);
    for (const [traceId, acked] of await live(scrubjay, acksMax)) sent.set(traceId, acked);
  }
  const scrubjay = await startScrubjay(settings, dataDir);
  let found = 0;
  const wrong: { traceId: string; acked: boolean; ids: string }[] = [];
  for (const [traceId, acked] of sent) {
    const spans = await getTrace(scrubjay, traceId);
    const ids = spans
      .map(({ id }) => id.slice(-1))
      .toSorted()
      .join('');
    const isRight = ids === '12345' || (ids === '' && !acked);
    if (!isRight) wrong.push({ traceId, acked, ids });
    found += spans.length;
  }
  expect(wrong).toEqual([]);
  const ledger = await getJson<Record<string, unknown>>(scrubjay, '/api/v1/ledger');
  expect(ledger).toMatchObject({ rows: found, pending: 0, set_aside: 0, imbalance: 0 });
  await scrubjay.stop();
}, 120_000);
