/** Content-Encoding of request bodies, bounded: what comes out never exceeds the limit. */
import * as zlib from 'node:zlib';
import { CodedError } from '../base/errors.ts';

/** Above these, inflating leaves the event loop to the thread pool; below, the pool is slower. */
const SYNC_WIRE_BYTES_MAX = 256 * 1024;
const SYNC_INFLATED_BYTES_MAX = 4 * 1024 ** 2;
const CHUNK_BYTES = 256 * 1024;
const CHUNK_BYTES_MIN = 1024;
/** No deflate stream is denser. */
const DEFLATE_RATIO_MAX = 1032;
/** Header and trailer of a gzip member (RFC 1952). */
const GZIP_BYTES_MIN = 18;
const LAYERS_MAX = 2;

type Encoding = 'gzip' | 'deflate' | 'deflate-raw' | 'br';

/** Counts the inflated bytes in as they come; may throw. */
type OnGrowth = (bytes: number) => void;

const GZIP_NAMES: ReadonlySet<string> = new Set(['gzip', 'x-gzip']);

const SYNC = {
  gzip: zlib.gunzipSync,
  deflate: zlib.inflateSync,
  'deflate-raw': zlib.inflateRawSync,
  br: zlib.brotliDecompressSync,
} as const;

const STREAM = {
  gzip: zlib.createGunzip,
  deflate: zlib.createInflate,
  'deflate-raw': zlib.createInflateRaw,
  br: zlib.createBrotliDecompress,
} as const;

/** The outermost encoding, the one applied last, first. */
function layersOf(header: string | undefined): string[] {
  if (header === undefined || header === '') return [];
  const names = header
    .toLowerCase()
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '' && name !== 'identity');
  if (names.length > LAYERS_MAX) throw unsupported(header);
  return names.toReversed();
}

/** Names only what looks like a name: the text goes into the answer. */
const unsupported = (name: string): CodedError =>
  new CodedError('SCRUBJAY_ERR_ENCODING', {
    encoding: /^[\w, -]{1,40}$/.test(name) ? name : 'as sent',
  });

const isGzip = (body: Uint8Array): boolean => body[0] === 0x1f && body[1] === 0x8b;

/** Many send raw deflate under the name of zlib's: its two header bytes tell (RFC 1950 §2.2). */
function isZlib(body: Uint8Array): boolean {
  const [first = 0, second = 0] = body;
  return first % 16 === 8 && (first * 256 + second) % 31 === 0;
}

/** How to read a layer, undefined when the body is plain whatever the header says. */
function encodingOf(name: string, body: Uint8Array): Encoding | undefined {
  if (GZIP_NAMES.has(name)) return isGzip(body) ? 'gzip' : undefined;
  if (name === 'deflate') return isZlib(body) ? 'deflate' : 'deflate-raw';
  if (name === 'br') return 'br';
  throw unsupported(name);
}

/**
 * A buffer that takes the whole result saves putting pieces together. The size at the end of a gzip
 * member is a hint and may lie; of the other formats only the length as sent is known.
 */
function chunkBytes(encoding: Encoding, body: Buffer, bytesMax: number): number {
  const said =
    encoding === 'gzip' && body.length >= GZIP_BYTES_MIN
      ? body.readUInt32LE(body.length - 4) + 1
      : body.length * 10;
  const guess = Math.min(said, body.length * DEFLATE_RATIO_MAX, bytesMax);
  return Math.max(CHUNK_BYTES_MIN, body.length, guess);
}

const isOverflow = (error: unknown): boolean =>
  error instanceof RangeError && 'code' in error && error.code === 'ERR_BUFFER_TOO_LARGE';

const broken = (encoding: Encoding): CodedError =>
  encoding === 'gzip'
    ? new CodedError('SCRUBJAY_ERR_GUNZIP')
    : new CodedError('SCRUBJAY_ERR_INFLATE', { encoding: encoding === 'br' ? 'br' : 'deflate' });

/** @returns undefined when the result is larger than fits the event loop */
function inflateNow(encoding: Encoding, body: Buffer, bytesMax: number): Buffer | undefined {
  if (body.length > SYNC_WIRE_BYTES_MAX) return undefined;
  const maxOutputLength = Math.min(SYNC_INFLATED_BYTES_MAX, bytesMax);
  try {
    const chunkSize = chunkBytes(encoding, body, maxOutputLength);
    return SYNC[encoding](body, { maxOutputLength, chunkSize });
  } catch (error) {
    if (isOverflow(error)) return undefined;
    throw broken(encoding);
  }
}

function inflateAside(
  encoding: Encoding,
  body: Buffer,
  bytesMax: number,
  onGrowth: OnGrowth,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const stream = STREAM[encoding]({ chunkSize: CHUNK_BYTES });
    const chunks: Buffer[] = [];
    let bytes = 0;
    stream.on('data', (chunk: Buffer) => {
      bytes += chunk.length;
      try {
        if (bytes > bytesMax) {
          throw new CodedError('SCRUBJAY_ERR_INFLATED_TOO_LARGE', { limit: bytesMax });
        }
        onGrowth(chunk.length);
        chunks.push(chunk);
      } catch (error) {
        stream.destroy();
        reject(error);
      }
    });
    stream.on('error', () => {
      reject(broken(encoding));
    });
    stream.on('end', () => {
      resolve(Buffer.concat(chunks, bytes));
    });
    stream.end(body);
  });
}

/**
 * The body without its encodings. A body that starts as gzip is inflated whatever the header says,
 * since clients leave it out.
 * @param header Content-Encoding as received
 * @throws CodedError SCRUBJAY_ERR_ENCODING, SCRUBJAY_ERR_GUNZIP, SCRUBJAY_ERR_INFLATE,
 *   SCRUBJAY_ERR_INFLATED_TOO_LARGE, or what onGrowth throws
 */
export async function inflate(
  body: Buffer,
  header: string | undefined,
  bytesMax: number,
  onGrowth: OnGrowth,
): Promise<Buffer> {
  const layers = layersOf(header);
  let plain = body;
  // Zipkin's own rule, letter case included: what says so must be gzip.
  if (body.length > 0 && header?.includes('gzip') === true && !isGzip(body)) throw broken('gzip');
  for (let layer = 0; layer < LAYERS_MAX && plain.length > 0; layer++) {
    const name = layers[layer] ?? 'gzip';
    const encoding = encodingOf(name, plain);
    if (encoding === undefined) continue;
    const inflated = inflateNow(encoding, plain, bytesMax);
    if (inflated === undefined) plain = await inflateAside(encoding, plain, bytesMax, onGrowth);
    else {
      onGrowth(inflated.length);
      plain = inflated;
    }
  }
  return plain;
}
