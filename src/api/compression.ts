/** Compresses large JSON answers for clients that ask for it, as Zipkin does from 2 KiB on. */
import { Readable, pipeline } from 'node:stream';
import { promisify } from 'node:util';
import { createGzip, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';

const BYTES_MIN = 2048;
/** Traces compress nearly as well as at higher levels, in half the time. */
const LEVEL = 4;
const gzipAsync = promisify(gzip);

/** `gzip`, `gzip;q=0.5`, `*`: yes; `gzip;q=0`, `gzip;q=0, *`, `br`: no (RFC 9110, 12.5.3). */
function acceptsGzip(header: string | string[] | undefined): boolean {
  if (typeof header !== 'string') return false;
  let byWildcard = false;
  for (const part of header.split(',')) {
    const [name = '', ...parameters] = part.split(';').map((word) => word.trim().toLowerCase());
    const accepted = !parameters.some((word) => /^q=0(?:\.0*)?$/.test(word));
    if (name === 'gzip' || name === 'x-gzip') return accepted;
    if (name === '*') byWildcard = accepted;
  }
  return byWildcard;
}

function addVary(reply: FastifyReply): void {
  const vary = reply.getHeader('vary');
  reply.header('vary', vary === undefined ? 'accept-encoding' : `${String(vary)}, accept-encoding`);
}

/** Destroyed when its source fails, and the source when nobody reads on. */
const gzipStream = (source: Readable): Readable =>
  pipeline(source, createGzip({ level: LEVEL }), () => undefined);

/** An onSend hook. Streams are for what is large: they are compressed whatever their length. */
export async function compressJson(
  request: FastifyRequest,
  reply: FastifyReply,
  payload: unknown,
): Promise<unknown> {
  const large = Buffer.isBuffer(payload)
    ? payload.length >= BYTES_MIN
    : payload instanceof Readable;
  if (!large || !acceptsGzip(request.headers['accept-encoding'])) return payload;
  const compressed = Buffer.isBuffer(payload)
    ? await gzipAsync(payload, { level: LEVEL })
    : gzipStream(payload as Readable);
  addVary(reply);
  reply.header('content-encoding', 'gzip').removeHeader('content-length');
  return compressed;
}
