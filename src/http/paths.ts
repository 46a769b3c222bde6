/** Paths as clients write them, and as the router and the metrics know them. */
import type { FastifyInstance, RouteHandlerMethod, onSendHookHandler } from 'fastify';
import type { ROUTES } from './routes.ts';

type RouteOf = (typeof ROUTES)[number];
export type RoutePath = RouteOf['path'];
export type RouteMethod<P extends RoutePath> = Extract<RouteOf, { path: P }>['method'];

/**
 * The path that a request means: doubled slashes and one at the end do not count, and the whole
 * API is also there under /zipkin, as Zipkin's UI asks for it. The query stays as it is.
 */
export function normalizeUrl(url: string): string {
  const queryAt = url.indexOf('?');
  let path = queryAt < 0 ? url : url.slice(0, queryAt);
  const query = queryAt < 0 ? '' : url.slice(queryAt);
  if (path.includes('//') && path.startsWith('/')) path = path.replaceAll(/\/{2,}/g, '/');
  if (path.length > 1 && path.endsWith('/')) path = path.slice(0, -1);
  if (path.startsWith('/zipkin/api/')) path = path.slice('/zipkin'.length);
  return path + query;
}

/** `/api/v2/trace/{traceId}` -> `/api/v2/trace/:traceId` */
const routerPath = (path: string): string => path.replaceAll(/\{(\w+)\}/g, ':$1');

/** The way back, for the label of a metric. */
export const templateOf = (url: string): string => url.replaceAll(/:(\w+)/g, '{$1}');

/** Registers a route of the table; the compiler refuses others. */
export function addRoute<P extends RoutePath>(
  app: FastifyInstance,
  method: RouteMethod<P>,
  path: P,
  handler: RouteHandlerMethod,
  onSend: onSendHookHandler[] = [],
): void {
  app.route({ method, url: routerPath(path), handler, onSend });
}
