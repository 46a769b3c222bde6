/** What is known of one tenant's names, and the answers made of it. */
import { NameSet, type NameLimits } from '../model/name-set.ts';
import { TagValues, type TagValueLimits } from '../model/tag-values.ts';
import { sortedJson } from './name-json.ts';

export interface NameAnswer {
  /** A sorted list of texts. */
  readonly json: Uint8Array;
  /** So many names that a client may keep the answer for a while, as Zipkin lets it. */
  readonly cacheable: boolean;
}

export interface TenantLimits {
  readonly names: NameLimits;
  readonly values: TagValueLimits;
  readonly keys: readonly string[];
  /** Of hash tables; unknown to senders. */
  readonly seed: number;
}

/** Up to so many the answers of Zipkin carry no Cache-Control. */
const UNCACHED_MAX = 3;
const NOTHING = Buffer.from('[]');

export class TenantNames {
  names: NameSet;
  values: TagValues;
  /** Monotonic milliseconds of the last span or question. */
  usedMs = 0;
  /** Monotonic milliseconds at which storage was asked last; negative infinity: never. */
  loadedMs = Number.NEGATIVE_INFINITY;
  /** The latest entry that storage told of, epoch seconds by its clock. */
  loadedToS = 0;
  /** Names were cut at a limit, and the log says so. */
  cutLogged = false;
  loading: Promise<void> | undefined;
  readonly #answers = new Map<string, NameAnswer>();
  #answersOf = '';

  constructor({ names, values, keys, seed }: TenantLimits) {
    this.names = new NameSet(names, seed);
    this.values = new TagValues(keys, values, seed);
  }

  /** What there is of it in memory. */
  get size(): number {
    return this.names.size + this.values.size;
  }

  get isRecorded(): boolean {
    return this.names.unrecorded === 0 && this.values.unrecorded === 0;
  }

  get isCut(): boolean {
    return this.names.cut > 0 || this.values.cut > 0;
  }

  /** Lets go of what was last seen before `firstDay`. */
  prune(firstDay: number): void {
    this.names = this.names.since(firstDay);
    this.values = this.values.since(firstDay);
  }

  /** @param firstDay names last seen before it are not listed: their spans are gone */
  services(firstDay: number): NameAnswer {
    return this.#answer('services', firstDay, () => {
      const services = this.names.services(firstDay);
      return { json: sortedJson(services), cacheable: services.length > UNCACHED_MAX };
    });
  }

  spanNames(service: string, firstDay: number): NameAnswer {
    return this.#ofService(`names ${service}`, firstDay, () => this.names.names(service, firstDay));
  }

  remoteServices(service: string, firstDay: number): NameAnswer {
    return this.#ofService(`remotes ${service}`, firstDay, () =>
      this.names.remotes(service, firstDay),
    );
  }

  tagValues(key: string, firstDay: number): NameAnswer {
    return this.#answer(`values ${key}`, firstDay, () => {
      const values = this.values.values(key, firstDay);
      return { json: sortedJson(values), cacheable: values.length > UNCACHED_MAX };
    });
  }

  #ofService(question: string, firstDay: number, find: () => string[]): NameAnswer {
    const { cacheable } = this.services(firstDay);
    return this.#answer(question, firstDay, () => ({ json: sortedJson(find()), cacheable }));
  }

  /** Answers are kept until a name comes, goes or is seen on another day. */
  #answer(question: string, firstDay: number, make: () => NameAnswer): NameAnswer {
    const state = `${this.names.version} ${this.values.version} ${firstDay}`;
    if (state !== this.#answersOf) {
      this.#answers.clear();
      this.#answersOf = state;
    }
    const known = this.#answers.get(question);
    if (known !== undefined) return known;
    const answer = make();
    // Questions after what is not there are endless: their answers are not kept.
    if (answer.json.length > NOTHING.length) this.#answers.set(question, answer);
    return answer;
  }
}
