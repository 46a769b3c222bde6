/**
 * Dependency links, kept up to date while spans arrive. A query waits until all that was stored
 * before it is counted, which is little as a rule: a task counts what comes, about every second,
 * and saves the sums, so that a restart begins where the last run ended.
 *
 *   spans ─► LinkUpdate ─► LinkState ─► LinkWindows ─► links of a window
 *                              └─► LinkStore, every now and then
 */
import type { Clock } from '../base/clock.ts';
import type { DependencyLink } from '../model/dependency-link.ts';
import { type LinkReader, type LinkStore, StorageError } from '../storage/contract.ts';
import type { Logger } from '../telemetry/logger.ts';
import { type LinkMemory, LinkState } from './link-state.ts';
import { LinkUpdate } from './link-update.ts';
import { LinkWindows } from './link-windows.ts';
import type { LinkWindow } from './tenant-links.ts';

export interface LinkIndexOptions {
  readonly reader: LinkReader;
  readonly store: LinkStore;
  readonly clock: Clock;
  readonly logger: Logger;
  /** True while there is no time to spare: the task waits, queries do not. */
  readonly busy: () => boolean;
  /** Any number that changes when spans are stored by this collector. */
  readonly arrivals: () => number;
  readonly memory?: LinkMemory;
  /** Rows read at a time. */
  readonly stepRows?: number;
}

const UPDATE_MS = 1000;
/** Other collectors may store spans, and days are dropped. */
const UNASKED_MS = 30_000;
const SAVE_MS = 15_000;
const FAILED_MS = 10_000;
const REST_MS_MAX = 500;
/** Even under load it does a little after so long: the next query would have to do it all. */
const BUSY_MS_MAX = 20_000;

export class LinkIndex {
  readonly #options: LinkIndexOptions;
  readonly #update: LinkUpdate;
  readonly #stop = new AbortController();
  #windows: LinkWindows | undefined;
  #state: LinkState | undefined;
  /** What is saved is of another state: it must go before this one is saved. */
  #mustClear = false;
  #running: Promise<unknown> = Promise.resolve();
  #next: Promise<void> | undefined;
  /** Queries wait for the run to come, or for that under way. */
  #nextIsAsked = false;
  #isAsked = false;
  /** The last run left something for the next. */
  #isLeft = false;
  /** Ends a rest. */
  #hurry = new AbortController();
  #task: Promise<void> = Promise.resolve();

  constructor(options: LinkIndexOptions) {
    this.#options = options;
    this.#update = new LinkUpdate(options);
  }

  /** Begins the task; to be called once, when storage works. */
  start(): void {
    this.#task = this.#run();
  }

  /**
   * Saves what is counted; call it when no more spans come.
   * @param deadlineMs longest time for it; what is not saved is counted again by the next start
   */
  async stop(deadlineMs: number): Promise<void> {
    this.#stop.abort();
    const timer = new AbortController();
    const saved = this.#task.then(() => this.#save()).catch((error) => this.#warn(error));
    await Promise.race([saved, this.#options.clock.sleep(deadlineMs, timer.signal)]);
    timer.abort();
  }

  /**
   * Links of all traces of which a span that is stored has its timestamp in the window.
   * @throws StorageError; the signal's reason when it aborts, what others wait for goes on
   */
  async links(tenant: string, window: LinkWindow, signal: AbortSignal): Promise<DependencyLink[]> {
    const counted = this.#refresh();
    // The run that is under way must end before: it is in a hurry as well.
    this.#nextIsAsked = true;
    this.#isAsked = true;
    this.#hurry.abort();
    await abortable(counted, signal);
    return abortable(this.#windows!.links(tenant, window), signal);
  }

  /** All that is stored now is counted when it resolves. Those who wait share one run. */
  #refresh(): Promise<void> {
    this.#next ??= this.#running
      .catch(() => undefined)
      .then(() => {
        this.#next = undefined;
        this.#isAsked = this.#nextIsAsked;
        this.#nextIsAsked = false;
        this.#hurry = new AbortController();
        return this.#count();
      });
    this.#running = this.#next;
    return this.#next;
  }

  async #count(): Promise<void> {
    const { signal } = this.#stop;
    this.#state ??= await this.#load(signal);
    const state = await this.#update.run(this.#state, signal, this.#restBetween());
    if (state === this.#state && this.#windows !== undefined) return;
    if (state !== this.#state) this.#mustClear = true;
    this.#state = state;
    this.#windows = new LinkWindows(state, this.#options.reader);
  }

  /**
   * After each part of the work as long a rest as it took, unless a query waits for the end.
   * @returns what LinkUpdate waits for
   */
  #restBetween(): () => Promise<boolean> {
    const { clock, busy } = this.#options;
    let startMs = clock.monotonicMs();
    this.#isLeft = false;
    return async () => {
      if (this.#isAsked) return false;
      await clock.sleep(Math.min(clock.monotonicMs() - startMs, REST_MS_MAX), this.#hurry.signal);
      startMs = clock.monotonicMs();
      this.#isLeft = !this.#isAsked && busy();
      return this.#isLeft;
    };
  }

  async #load(signal: AbortSignal): Promise<LinkState> {
    const { store, clock, logger, memory = {} } = this.#options;
    const startMs = clock.monotonicMs();
    const saved = await store.load();
    const state = LinkState.loaded(saved, memory);
    await this.#update.fillFilter(state, signal);
    const ms = Math.round(clock.monotonicMs() - startMs);
    if (state.rows > 0) logger.info({ rows: state.rows, ms }, 'Dependency links were loaded');
    return state;
  }

  async #run(): Promise<void> {
    const { clock, arrivals } = this.#options;
    const { signal } = this.#stop;
    let savedMs = clock.monotonicMs();
    let failing = false;
    let countedMs = Number.NEGATIVE_INFINITY;
    let counted = 0;
    while (!signal.aborted) {
      try {
        const arrived = arrivals();
        const isDue = arrived !== counted || this.#isLeft;
        if (isDue || clock.monotonicMs() - countedMs >= UNASKED_MS) {
          await this.#refresh();
          [counted, countedMs] = [arrived, clock.monotonicMs()];
        }
        if (clock.monotonicMs() - savedMs >= SAVE_MS) {
          await this.#save();
          savedMs = clock.monotonicMs();
        }
        failing = false;
      } catch (error) {
        if (signal.aborted) return;
        if (!failing) this.#warn(error);
        failing = true;
      }
      await clock.sleep(failing ? FAILED_MS : UPDATE_MS, signal);
      await this.#whileBusy(signal);
    }
  }

  async #whileBusy(signal: AbortSignal): Promise<void> {
    const { clock, busy } = this.#options;
    const endMs = clock.monotonicMs() + BUSY_MS_MAX;
    while (busy() && clock.monotonicMs() < endMs && !signal.aborted) {
      await clock.sleep(UPDATE_MS, signal);
    }
  }

  async #save(): Promise<void> {
    const { store } = this.#options;
    await this.#running.catch(() => undefined);
    const state = this.#state;
    if (state === undefined) return;
    if (this.#mustClear) await store.clear();
    this.#mustClear = false;
    const dirty = state.takeDirty();
    if (dirty.days.length === 0 && dirty.buckets.length === 0) return;
    try {
      await store.save(dirty);
    } catch (error) {
      state.restoreDirty(dirty);
      throw error;
    }
  }

  #warn(error: unknown): void {
    const { logger } = this.#options;
    if (error instanceof StorageError && error.failure === 'aborted') return;
    logger.warn({ err: error }, 'Dependency links are not up to date or not saved: trying again');
  }
}

/** @throws the signal's reason; what is waited for goes on */
async function abortable<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  work.catch(() => undefined);
  signal.throwIfAborted();
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_, reject) => {
    onAbort = () => reject(signal.reason as Error);
    signal.addEventListener('abort', onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    signal.removeEventListener('abort', onAbort!);
  }
}
