/** The links of a window of time out of a LinkState, and the traces at its edges out of storage. */
import type { DependencyLink } from '../model/dependency-link.ts';
import type { LinkReader, LinkRow, TimeRange } from '../storage/contract.ts';
import { DependencyLinker } from './dependency-linker.ts';
import type { LinkState } from './link-state.ts';
import type { LinkWindow, TenantLinks } from './tenant-links.ts';
import { MINUTE_MS } from './time-buckets.ts';
import {
  GAP_MS,
  type TraceLinks,
  groupRows,
  linksOfTrace,
  msOf,
  orderRows,
} from './trace-links.ts';

const EDGES_MAX = 64;
/** Edges with more traces are not kept. */
const EDGE_TRACES_MAX = 20_000;

interface Edge {
  /** Of the minute's sums when it was read. */
  readonly changes: number;
  readonly traces: Promise<readonly TraceLinks[]>;
}

export class LinkWindows {
  readonly #state: LinkState;
  readonly #reader: LinkReader;
  /** Of minutes that windows cut, those used last at the end. */
  readonly #edges = new Map<string, Edge>();

  constructor(state: LinkState, reader: LinkReader) {
    this.#state = state;
    this.#reader = reader;
  }

  /**
   * Links of all counted traces with a timestamp in the window, each trace as a whole.
   * @throws StorageError
   */
  async links(tenant: string, window: LinkWindow): Promise<DependencyLink[]> {
    const links = this.#state.tenant(tenant);
    if (links === undefined || window.toMs < window.fromMs) return [];
    if (window.toMs - window.fromMs < GAP_MS) return this.#direct(tenant, links, window);
    const sum = links.begin(window, this.#state.lateTraces(tenant));
    // All are asked for before anything waits: the rows are those that are in the sum.
    const edges = Array.from(sum.minutes, (minute) => ({
      minute,
      traces: this.#edge(tenant, links, minute),
    }));
    const settled = await Promise.allSettled(edges.map(({ traces }) => traces));
    for (const [i, edge] of settled.entries()) {
      if (edge.status === 'rejected') throw edge.reason;
      links.finish(sum, edges[i]!.minute, edge.value);
    }
    return links.links(sum.counts);
  }

  /** No trace of a short window is in any sum alone: all are read. */
  async #direct(tenant: string, links: TenantLinks, window: LinkWindow): Promise<DependencyLink[]> {
    const linker = new DependencyLinker();
    for (const rows of await this.#traces(tenant, links, window)) {
      const isWithin = rows.some(({ timestamp }) => {
        const ms = timestamp === undefined ? -1 : msOf(timestamp);
        return ms >= window.fromMs && ms <= window.toMs;
      });
      if (isWithin) linker.putTrace(orderRows(rows));
    }
    return linker.link();
  }

  #edge(tenant: string, links: TenantLinks, minute: number): Promise<readonly TraceLinks[]> {
    const key = `${minute} ${tenant}`;
    const changes = links.changesOf(minute);
    const known = this.#edges.get(key);
    this.#edges.delete(key);
    if (known?.changes === changes) {
      this.#edges.set(key, known);
      return known.traces;
    }
    const traces = this.#readEdge(tenant, links, minute);
    const edge = { changes, traces };
    this.#edges.set(key, edge);
    const forget = (): void => {
      if (this.#edges.get(key) === edge) this.#edges.delete(key);
    };
    void forgetUseless(traces, forget);
    const [oldest] = this.#edges.keys();
    if (this.#edges.size > EDGES_MAX && oldest !== undefined) this.#edges.delete(oldest);
    return traces;
  }

  async #readEdge(
    tenant: string,
    links: TenantLinks,
    minute: number,
  ): Promise<readonly TraceLinks[]> {
    const window = { fromMs: minute * MINUTE_MS, toMs: (minute + 1) * MINUTE_MS - 1 };
    const traces = await this.#traces(tenant, links, window);
    return traces.map((rows) => linksOfTrace(rows)).filter((trace) => trace !== undefined);
  }

  /** Rows of all traces that have one stored in the window, as far as they are counted now. */
  async #traces(tenant: string, links: TenantLinks, window: LinkWindow): Promise<LinkRow[][]> {
    const within = links.reachOf(window);
    if (within === undefined) return [];
    const isCounted = this.#state.counted();
    const rows = await this.#reader.rows({
      of: 'moment',
      tenant,
      at: rangeOf(window),
      within: rangeOf(within),
    });
    const traces = groupRows(rows.filter(isCounted)).get(tenant);
    return traces === undefined ? [] : [...traces.values()];
  }
}

/** Failures, and what is too large to keep; never rejects. */
async function forgetUseless(
  traces: Promise<readonly TraceLinks[]>,
  forget: () => void,
): Promise<void> {
  try {
    if ((await traces).length > EDGE_TRACES_MAX) forget();
  } catch {
    forget();
  }
}

const rangeOf = ({ fromMs, toMs }: LinkWindow): TimeRange => ({
  fromUs: fromMs * 1000,
  toUs: toMs * 1000 + 999,
});
