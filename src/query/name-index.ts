/**
 * Names of services, spans, remote services and values of tags, answered from memory. The write
 * path feeds it, so what is acknowledged is listed at once; storage keeps it over restarts and
 * shares it between collectors.
 *
 *   group of spans ─► observe ─► TenantNames ─► answers
 *          NameRecorder ─► storage ─► load, at a tenant's first question and when it may be stale
 */
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';
import { NameTranslation } from '../model/name-set.ts';
import { DAY_US } from '../model/days.ts';
import { type SpanBatch } from '../model/span-batch.ts';
import type { SpanObserver } from '../model/span-observer.ts';
import { TagScan } from '../model/tag-scan.ts';
import { decodeUtf8 } from '../model/text.ts';
import {
  StorageError,
  type NameStore,
  type NamesOfTenant,
  type RecordedNames,
} from '../storage/contract.ts';
import type { Logger } from '../telemetry/logger.ts';
import { TenantNames, type NameAnswer, type TenantLimits } from './tenant-names.ts';

export interface NameIndexOptions {
  readonly store: Pick<NameStore, 'recorded'>;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Of hash tables; unknown to senders. */
  readonly seed: number;
  /** Days after its last span on which a name is dropped as its spans are; 0: never. */
  readonly retentionDays: number;
  readonly autocompleteKeys: readonly string[];
  /** Most values of all keys of a tenant. */
  readonly autocompleteCardinality: number;
  /** Least time between two records of the same value. */
  readonly autocompleteTtlMs: number;
  /** Other collectors write to the same storage: what they saw is asked for. */
  readonly shared: boolean;
}

export const ENTRIES_PER_TENANT_MAX = 100_000;
const TEXT_BYTES_PER_TENANT_MAX = 16 * 1024 * 1024;
/** Of all tenants; those not used for longest go first, storage knows them. */
const ENTRIES_MAX = 1_000_000;
const TENANTS_MAX = 2000;
/** Age of what other collectors told at which it is asked for anew, and the most an answer has. */
const REFRESH_MS = 5000;
const STALE_MS_MAX = 10_000;
const DAY_MS = DAY_US / 1000;

export class NameIndex implements SpanObserver {
  readonly #options: NameIndexOptions;
  readonly #limits: TenantLimits;
  readonly #tenants = new Map<string, TenantNames>();
  readonly #translation = new NameTranslation();
  readonly #tags: TagScan;
  #lastBatch: bigint | undefined;
  #forgot = false;
  /** Goes up whenever all that was loaded is no longer all there is. */
  #generation = 0;
  #prunedTo = 0;
  #loadFailed = false;
  /** Tenants at which letting go of some is tried next. */
  #evictAt = TENANTS_MAX;
  /** Resolves when storage knows all names of earlier runs, or that takes too long. */
  #recovered: Promise<void> = Promise.resolve();

  constructor(options: NameIndexOptions) {
    const { autocompleteKeys: keys, autocompleteTtlMs: ttlMs, seed } = options;
    this.#options = options;
    this.#limits = {
      names: { entriesMax: ENTRIES_PER_TENANT_MAX, bytesMax: TEXT_BYTES_PER_TENANT_MAX },
      values: {
        valuesMax: options.autocompleteCardinality,
        daysBetweenWrites: Math.max(1, Math.ceil(ttlMs / DAY_MS)),
      },
      keys,
      seed,
    };
    this.#tags = new TagScan(keys);
  }

  /** Of the last group seen; undefined also when names of an earlier group had to be let go. */
  get lastBatch(): bigint | undefined {
    return this.#forgot ? undefined : this.#lastBatch;
  }

  get autocompleteKeys(): readonly string[] {
    return this.#limits.keys;
  }

  observe(batch: SpanBatch, batchId: bigint): void {
    this.#lastBatch = batchId;
    const { rows, tenants: texts, tenantIndex } = batch;
    const tenants = Array.from({ length: texts.size }, (_, index) =>
      index === 0 && texts.size > 1
        ? undefined
        : this.#seen(decodeUtf8(texts.arena, texts.starts[index]!, texts.ends[index]!)),
    );
    let from = 0;
    while (from < rows) {
      const index = tenantIndex[from]!;
      let to = texts.size === 2 && index === 1 ? rows : from + 1;
      while (to < rows && tenantIndex[to] === index) to++;
      this.#translation.begin(batch);
      tenants[index]?.names.observe(batch, from, to, this.#translation);
      from = to;
    }
    this.#tags.scan(batch, (index) => tenants[index]?.values);
  }

  /** Questions wait for it. */
  recovering(until: Promise<void>): void {
    this.#recovered = until;
  }

  /** Storage has learned names in another way than from here. */
  reload(): void {
    this.#generation++;
    for (const tenant of this.#tenants.values()) {
      tenant.loadedMs = Number.NEGATIVE_INFINITY;
      tenant.loadedToS = 0;
    }
  }

  /** What storage must be told of, at most about `max` entries, which counts as done. */
  takeUnrecorded(max: number): NamesOfTenant[] {
    const taken: NamesOfTenant[] = [];
    let room = max;
    for (const [tenant, known] of this.#tenants) {
      if (room <= 0) break;
      if (known.isRecorded) continue;
      const names = known.names.takeUnrecorded(room);
      const values = known.values.takeUnrecorded(room);
      room -= names.length + values.length;
      taken.push({ tenant, names, values });
    }
    return taken;
  }

  /** Storage was not told of these after all. */
  restoreUnrecorded(taken: readonly NamesOfTenant[]): void {
    for (const { tenant, names, values } of taken) {
      const known = this.#used(tenant);
      known.names.restoreUnrecorded(names);
      known.values.restoreUnrecorded(values);
    }
  }

  /** Lets go of what retention has dropped and, over the limits, of tenants not used for long. */
  tidy(): void {
    const firstDay = this.#firstDay();
    if (firstDay > this.#prunedTo) {
      this.#prunedTo = firstDay;
      for (const tenant of this.#tenants.values()) tenant.prune(firstDay);
    }
    this.#evict();
  }

  async services(tenant: string): Promise<NameAnswer> {
    return (await this.#ready(tenant)).services(this.#firstDay());
  }

  async spanNames(tenant: string, service: string): Promise<NameAnswer> {
    return (await this.#ready(tenant)).spanNames(service, this.#firstDay());
  }

  async remoteServices(tenant: string, service: string): Promise<NameAnswer> {
    return (await this.#ready(tenant)).remoteServices(service, this.#firstDay());
  }

  /** Keys that are not configured have no values. */
  async tagValues(tenant: string, key: string): Promise<NameAnswer> {
    return (await this.#ready(tenant)).tagValues(key, this.#firstDay());
  }

  /** The first day whose spans retention keeps. */
  #firstDay(): number {
    const { retentionDays, clock } = this.#options;
    if (retentionDays === 0) return 0;
    return Math.floor(clock.nowMs() / DAY_MS) - retentionDays + 1;
  }

  /** The tenant with all that storage knows; no older than STALE_MS_MAX. */
  async #ready(name: string): Promise<TenantNames> {
    await this.#recovered;
    const { shared, clock } = this.#options;
    const tenant = this.#used(name);
    const ageMs = clock.monotonicMs() - tenant.loadedMs;
    const isNew = ageMs === Number.POSITIVE_INFINITY;
    if (!isNew && (!shared || ageMs < REFRESH_MS)) return tenant;
    tenant.loading ??= this.#load(name, tenant);
    if (isNew || ageMs >= STALE_MS_MAX) await tenant.loading;
    return tenant;
  }

  /** @throws {SCRUBJAY_ERR_STORAGE_UNAVAILABLE} when this tenant was never read */
  async #load(name: string, tenant: TenantNames): Promise<void> {
    const { store, clock } = this.#options;
    const startMs = clock.monotonicMs();
    const generation = this.#generation;
    const isNew = tenant.loadedMs === Number.NEGATIVE_INFINITY;
    try {
      const found = await store.recorded(name, tenant.loadedToS, ENTRIES_PER_TENANT_MAX);
      merge(tenant, found, this.#firstDay());
      this.#loadFailed = false;
      if (generation !== this.#generation) return;
      tenant.loadedMs = startMs;
      tenant.loadedToS = Math.max(tenant.loadedToS, found.toS);
    } catch (error) {
      if (isNew) {
        const cause = error instanceof StorageError ? `code ${error.code}` : 'no answer';
        throw new CodedError('SCRUBJAY_ERR_STORAGE_UNAVAILABLE', { cause }, { cause: error });
      }
      // The next questions do not wait for a try.
      if (generation === this.#generation) {
        tenant.loadedMs = Math.max(tenant.loadedMs, startMs - REFRESH_MS);
      }
      this.#goOnWithout(error);
    } finally {
      tenant.loading = undefined;
    }
  }

  /** What is known is better than no answer. */
  #goOnWithout(error: unknown): void {
    if (this.#loadFailed) return;
    this.#loadFailed = true;
    this.#options.logger.warn(
      { err: error },
      'Names that other collectors saw cannot be read: answers lack them meanwhile',
    );
  }

  #seen(name: string): TenantNames {
    const tenant = this.#used(name);
    if (tenant.isCut && !tenant.cutLogged) {
      tenant.cutLogged = true;
      this.#options.logger.warn(
        { tenant: name, entries: tenant.names.size, values: tenant.values.size },
        'A tenant has more names than are listed: span names or values of tags hold ids',
      );
    }
    return tenant;
  }

  #used(name: string): TenantNames {
    let tenant = this.#tenants.get(name);
    if (tenant === undefined) {
      if (this.#tenants.size >= this.#evictAt) this.#evict();
      tenant = new TenantNames(this.#limits);
      this.#tenants.set(name, tenant);
    }
    tenant.usedMs = this.#options.clock.monotonicMs();
    return tenant;
  }

  /** Tenants with names that storage does not know yet stay, up to twice the limits. */
  #evict(): void {
    let size = 0;
    for (const tenant of this.#tenants.values()) size += tenant.size;
    this.#evictAt = TENANTS_MAX;
    if (size <= ENTRIES_MAX && this.#tenants.size < TENANTS_MAX) return;
    const byUse = [...this.#tenants].toSorted(([, a], [, b]) => a.usedMs - b.usedMs);
    for (const [name, tenant] of byUse) {
      // Some more than needed: this is not done for every new tenant.
      const load = Math.max(size / ENTRIES_MAX, this.#tenants.size / TENANTS_MAX);
      if (load <= 0.9) return;
      if (!tenant.isRecorded) {
        if (load < 2) continue;
        this.#forgot = true;
      }
      this.#tenants.delete(name);
      size -= tenant.size;
    }
    this.#evictAt = Math.max(TENANTS_MAX, Math.ceil(1.1 * this.#tenants.size));
  }
}

/** Another collector's clock may have let go of names later than ours does. */
function merge(tenant: TenantNames, found: RecordedNames, firstDay: number): void {
  for (const entry of found.names) if (entry.day >= firstDay) tenant.names.load(entry);
  for (const value of found.values) if (value.day >= firstDay) tenant.values.load(value);
}
