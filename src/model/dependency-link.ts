/** How often one service called another (zipkin2/DependencyLink.java). */
export interface DependencyLink {
  /** The caller. */
  parent: string;
  child: string;
  callCount: number;
  /** Left out when it is 0. */
  errorCount?: number;
}
