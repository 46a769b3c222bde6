/** Request headers as they were sent, before Node joins repeated ones. */
import type { IncomingMessage } from 'node:http';

/** The first value of a header: a proxy in front of a client adds its own before the client's. */
export function firstHeader(request: IncomingMessage, name: string): string | undefined {
  return request.headersDistinct[name]?.[0];
}
