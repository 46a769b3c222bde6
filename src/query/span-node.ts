/** The tree of a trace, by the rules of zipkin2/internal/SpanNode.java. */
import { hasLocalEndpoint } from './trace-merge.ts';
import type { LinkSpan } from './trace-merge.ts';

const NO_CHILDREN: readonly never[] = [];

export class SpanNode<S extends LinkSpan = LinkSpan> {
  /** Absent on a root that stands for one that was never sent. */
  readonly span: S | undefined;
  parent: SpanNode<S> | undefined = undefined;
  #children: SpanNode<S>[] | undefined = undefined;

  constructor(span: S | undefined) {
    this.span = span;
  }

  /** By timestamp, those without one first. */
  get children(): readonly SpanNode<S>[] {
    return this.#children ?? NO_CHILDREN;
  }

  addChild(child: SpanNode<S>): void {
    child.parent = this;
    if (this.#children === undefined) this.#children = [child];
    else this.#children.push(child);
  }

  sortChildren(): void {
    if (this.#children !== undefined && this.#children.length > 1)
      this.#children.sort(compareNodes);
  }
}

function compareNodes(left: SpanNode, right: SpanNode): number {
  const leftAt = left.span?.timestamp ?? 0;
  const rightAt = right.span?.timestamp ?? 0;
  if (leftAt === rightAt) return 0;
  return leftAt < rightAt ? -1 : 1;
}

/**
 * A place in the tree. Spans are placed by id; shared ones by id and local endpoint, as several
 * servers may answer one client. Of several spans for one place the last takes it.
 */
interface Place<S extends LinkSpan> {
  node: SpanNode<S> | undefined;
  parentId: string | undefined;
  /** A server that shares the parent's id and is on the same endpoint: better than the id alone. */
  server: Place<S> | undefined;
}

function endpointKey(span: LinkSpan): string {
  if (!hasLocalEndpoint(span)) return '';
  const { localService = '', localIpv4 = '', localIpv6 = '', localPort = 0 } = span;
  return `${localPort} ${localIpv4} ${localIpv6} ${localService}`;
}

class Places<S extends LinkSpan> {
  /** In the order of their first span. */
  readonly inOrder: Place<S>[] = [];
  readonly #byId = new Map<string, Place<S>>();
  readonly #shared = new Map<string, Map<string, Place<S>>>();

  byId(id: string | undefined): Place<S> | undefined {
    return id === undefined ? undefined : this.#byId.get(id);
  }

  /** The shared span of that id on the endpoint of `near`. */
  server(id: string, near: S): Place<S> | undefined {
    if (this.#shared.size === 0) return undefined;
    return this.#shared.get(id)?.get(endpointKey(near));
  }

  /** The place for the span; a later span of the same place says who its parent is. */
  take(span: S): Place<S> {
    const shared = span.shared === true;
    const known = shared ? this.server(span.id, span) : this.#byId.get(span.id);
    // A client has no rival for its id: the parent of a shared span.
    const parentId = shared ? span.id : span.parentId;
    if (known !== undefined) {
      known.parentId = parentId;
      return known;
    }
    const place: Place<S> = { node: undefined, parentId, server: undefined };
    this.inOrder.push(place);
    if (shared) this.#addShared(span, place);
    else this.#byId.set(span.id, place);
    return place;
  }

  #addShared(span: S, place: Place<S>): void {
    const servers = this.#shared.get(span.id);
    if (servers === undefined) this.#shared.set(span.id, new Map([[endpointKey(span), place]]));
    else servers.set(endpointKey(span), place);
  }
}

/**
 * The tree of the spans as mergeTrace or mergeLinkSpans leaves them. The first span without parent
 * is the root, of which all that lack theirs become children; without one the root has no span.
 * Spans in a cycle are in no tree; neither are those that lose their place to another of their id.
 */
export function buildSpanTree<S extends LinkSpan>(merged: readonly S[]): SpanNode<S> {
  const places = new Places<S>();
  const placeOf = merged.map((span) => places.take(span));
  let root: SpanNode<S> | undefined;
  let rootPlace: Place<S> | undefined;
  let rootPlaceTaken = false;
  for (let i = 0; i < merged.length; i++) {
    const span = merged[i]!;
    const place = placeOf[i]!;
    const node = new SpanNode(span);
    if (span.shared !== true && span.parentId === undefined && root === undefined) {
      root = node;
      rootPlace = place;
      continue;
    }
    place.node = node;
    if (span.shared === true || span.parentId === undefined) continue;
    const server = places.server(span.parentId, span);
    if (server === undefined) continue;
    place.server = server;
    if (place === rootPlace) rootPlaceTaken = true;
  }

  const top = root ?? new SpanNode<S>(undefined);
  const attach = ({ node, parentId, server }: Place<S>): void => {
    if (node !== undefined) ((server ?? places.byId(parentId))?.node ?? top).addChild(node);
  };
  for (const place of places.inOrder) if (place !== rootPlace) attach(place);
  if (rootPlace !== undefined && rootPlaceTaken) attach(rootPlace);
  sortTree(top, places.inOrder);
  return top;
}

function sortTree<S extends LinkSpan>(top: SpanNode<S>, places: readonly Place<S>[]): void {
  top.sortChildren();
  for (const { node } of places) node?.sortChildren();
}

/** All nodes with a span that can be reached from the root, each after its parent. */
export function breadthFirst<S extends LinkSpan>(root: SpanNode<S>): SpanNode<S>[] {
  const nodes = root.span === undefined ? [...root.children] : [root];
  // The list grows while it is read.
  for (const node of nodes) for (const child of node.children) nodes.push(child);
  return nodes;
}
