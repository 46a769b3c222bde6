/**
 * GET /api/v1/ledger: what became of every span since the start, and how many rows storage holds.
 * Of the node, not of a tenant: like the metrics it asks for no tenant.
 */
import type { FastifyInstance, FastifyReply } from 'fastify';
import type { Clock } from '../base/clock.ts';
import { addRoute } from '../http/paths.ts';
import type { Ledger } from '../telemetry/ledger.ts';
import { JSON_TYPE, answerBytes } from './answers.ts';

export interface LedgerDependencies {
  readonly ledger: Pick<Ledger, 'entries'>;
  /** Rows in storage now, of all tenants. */
  readonly countRows: (signal: AbortSignal) => Promise<number>;
  readonly clock: Clock;
}

const COUNT_MS_MAX = 5000;

/** @returns null when storage is away, or does not say in time */
async function rowsOrNull({ countRows, clock }: LedgerDependencies): Promise<number | null> {
  const over = new AbortController();
  const inTime = new AbortController();
  const late = clock.sleep(COUNT_MS_MAX, inTime.signal).then(() => {
    over.abort();
    return null;
  });
  try {
    return await Promise.race([countRows(over.signal), late]);
  } catch {
    return null;
  } finally {
    inTime.abort();
  }
}

export function registerLedger(app: FastifyInstance, dependencies: LedgerDependencies): void {
  addRoute(app, 'GET', '/api/v1/ledger', async (_request, reply): Promise<FastifyReply> => {
    const rows = await rowsOrNull(dependencies);
    const body = { ...dependencies.ledger.entries(), rows };
    return answerBytes(reply, 200, JSON_TYPE, Buffer.from(JSON.stringify(body)));
  });
}
