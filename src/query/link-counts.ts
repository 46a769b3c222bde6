/** Calls and errors by pair of services, small enough to keep some for every minute. */
import type { DependencyLink } from '../model/dependency-link.ts';

/** Numbers for pairs of services, in the order in which they were first seen. */
export class ServicePairs {
  readonly #pairs: { readonly parent: string; readonly child: string }[] = [];
  readonly #byParent = new Map<string, Map<string, number>>();

  numberOf(parent: string, child: string): number {
    let children = this.#byParent.get(parent);
    if (children === undefined) {
      children = new Map<string, number>();
      this.#byParent.set(parent, children);
    }
    let pair = children.get(child);
    if (pair === undefined) {
      pair = this.#pairs.length;
      children.set(child, pair);
      this.#pairs.push({ parent, child });
    }
    return pair;
  }

  /** The pairs that were called, in the order of their numbers. */
  links(counts: LinkCounts): DependencyLink[] {
    const links: DependencyLink[] = [];
    counts.forEach((pair, calls, errors) => {
      if (calls <= 0) return;
      const { parent, child } = this.#pairs[pair]!;
      const link: DependencyLink = { parent, child, callCount: calls };
      if (errors > 0) link.errorCount = errors;
      links.push(link);
    });
    return links;
  }
}

const WIDTH = 3;
const PAIRS_MIN = 4;

/**
 * Sums by number of the pair, which may be negative. Kept as one sorted list of numbers:
 *
 *   pair calls errors  pair calls errors  …
 */
export class LinkCounts {
  #list = new Float64Array(PAIRS_MIN * WIDTH);
  #end = 0;

  add(pair: number, calls: number, errors: number): void {
    const at = this.#place(pair);
    this.#list[at + 1]! += calls;
    this.#list[at + 2]! += errors;
  }

  /** @param sign 1 to add, -1 to take away */
  addAll(other: LinkCounts, sign: 1 | -1): void {
    other.forEach((pair, calls, errors) => this.add(pair, sign * calls, sign * errors));
  }

  /** In the order of the numbers; those that are 0 may come or not. */
  forEach(visit: (pair: number, calls: number, errors: number) => void): void {
    const list = this.#list;
    for (let at = 0; at < this.#end; at += WIDTH) visit(list[at]!, list[at + 1]!, list[at + 2]!);
  }

  get isZero(): boolean {
    let zero = true;
    this.forEach((_pair, calls, errors) => {
      if (calls !== 0 || errors !== 0) zero = false;
    });
    return zero;
  }

  /** Where the pair is in the list; made when it is not there. */
  #place(pair: number): number {
    let low = 0;
    let high = this.#end / WIDTH;
    while (low < high) {
      const middle = Math.floor((low + high) / 2);
      if (this.#list[middle * WIDTH]! < pair) low = middle + 1;
      else high = middle;
    }
    const at = low * WIDTH;
    if (at < this.#end && this.#list[at] === pair) return at;
    if (this.#end === this.#list.length) {
      const grown = new Float64Array(2 * this.#list.length);
      grown.set(this.#list);
      this.#list = grown;
    }
    this.#list.copyWithin(at + WIDTH, at, this.#end);
    this.#list.set([pair, 0, 0], at);
    this.#end += WIDTH;
    return at;
  }
}
