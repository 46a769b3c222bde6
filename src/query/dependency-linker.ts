/** Who called whom, by the rules of zipkin2/internal/DependencyLinker.java. */
import type { DependencyLink } from '../model/dependency-link.ts';
import type { SpanKind } from '../model/span.ts';
import { breadthFirst, buildSpanTree } from './span-node.ts';
import type { SpanNode } from './span-node.ts';
import { mergeLinkSpans } from './trace-merge.ts';
import type { LinkSpan } from './trace-merge.ts';

/** Calls and errors of one pair. */
interface Count {
  readonly parent: string;
  readonly child: string;
  calls: number;
  errors: number;
}

/** Sums by pair, in the order in which pairs were first seen. */
class LinkSums {
  readonly #counts: Count[] = [];
  readonly #byParent = new Map<string, Map<string, Count>>();

  add(parent: string, child: string, calls: number, errors: number): void {
    const count = this.#count(parent, child);
    count.calls += calls;
    count.errors += errors;
  }

  links(): DependencyLink[] {
    return this.#counts.map(({ parent, child, calls, errors }) => {
      const link: DependencyLink = { parent, child, callCount: calls };
      if (errors > 0) link.errorCount = errors;
      return link;
    });
  }

  #count(parent: string, child: string): Count {
    let children = this.#byParent.get(parent);
    if (children === undefined) {
      children = new Map<string, Count>();
      this.#byParent.set(parent, children);
    }
    let count = children.get(child);
    if (count === undefined) {
      count = { parent, child, calls: 0, errors: 0 };
      children.set(child, count);
      this.#counts.push(count);
    }
    return count;
  }
}

/** DependencyLinker.merge: one link per pair. */
export function mergeLinks(links: Iterable<DependencyLink>): DependencyLink[] {
  const sums = new LinkSums();
  for (const { parent, child, callCount, errorCount } of links)
    sums.add(parent, child, callCount, errorCount ?? 0);
  return sums.links();
}

/** Links of many traces. */
export class DependencyLinker {
  readonly #sums = new LinkSums();

  /** @param spans all of one trace; not yet merged */
  putTrace(spans: readonly LinkSpan[]): this {
    if (spans.length === 0) return this;
    const root = buildSpanTree(mergeLinkSpans(spans));
    // Climbing for every node would take the square of the depth.
    const ofKindless = new Map<SpanNode, LinkSpan | undefined>();
    for (const node of breadthFirst(root)) {
      const { parent } = node;
      let ancestor = parent?.span;
      if (parent !== undefined && ancestor?.kind === undefined) ancestor = ofKindless.get(parent);
      if (node.span?.kind === undefined) ofKindless.set(node, ancestor);
      this.#putNode(node, ancestor);
    }
    return this;
  }

  link(): DependencyLink[] {
    return this.#sums.links();
  }

  /** @param ancestor the nearest one with a kind (firstRemoteAncestor) */
  #putNode(node: SpanNode, ancestor: LinkSpan | undefined): void {
    const span = node.span!;
    // The server tells of this call, by the name it has for itself.
    if (span.kind === 'CLIENT' && node.children.length > 0) return;
    const kind = kindOf(span);
    if (kind === undefined) return;
    if (kind === 'CLIENT') this.#putClient(span, ancestor);
    else if (kind === 'SERVER') this.#putServer(span, ancestor);
    else if (kind === 'PRODUCER') this.#add(span.localService, span.remoteService, span.error);
    else this.#add(span.remoteService, span.localService, span.error);
  }

  #putClient(span: LinkSpan, ancestor: LinkSpan | undefined): void {
    const { localService, remoteService } = span;
    const caller = ancestor?.localService;
    // Some put the name of the other side on the client: the call from the ancestor is missing.
    if (caller !== undefined && localService !== undefined && caller !== localService)
      this.#add(caller, localService, false);
    this.#add(localService ?? caller, remoteService, isError(span, ancestor));
  }

  #putServer(span: LinkSpan, ancestor: LinkSpan | undefined): void {
    // The tree is more certain than the name the server has for its client.
    const caller = ancestor?.localService ?? span.remoteService;
    this.#add(caller, span.localService, isError(span, ancestor));
  }

  #add(parent: string | undefined, child: string | undefined, error: boolean): void {
    if (parent === undefined || child === undefined) return;
    this.#sums.add(parent, child, 1, error ? 1 : 0);
  }
}

/** A span of unknown kind counts as a client when both sides are known. */
function kindOf(span: LinkSpan): SpanKind | undefined {
  if (span.kind !== undefined) return span.kind;
  const known = span.localService !== undefined && span.remoteService !== undefined;
  return known ? 'CLIENT' : undefined;
}

/** When client and server are two spans, the client's error counts: it gives no link itself. */
function isError(span: LinkSpan, ancestor: LinkSpan | undefined): boolean {
  if (span.error) return true;
  if (ancestor?.kind !== 'CLIENT' || ancestor.localService === undefined) return false;
  return ancestor.error && span.parentId === ancestor.id;
}
