/** The raw body of a request, bounded; and what is left of one that nobody wants any more. */
import type { IncomingMessage } from 'node:http';
import type { Clock } from '../base/clock.ts';
import { CodedError } from '../base/errors.ts';

const BUFFER_BYTES_MIN = 64 * 1024;
const DISCARD_BYTES_MAX = 128 * 1024 ** 2;
const DISCARD_MS_MAX = 5000;

/**
 * Content-Length, or undefined for a chunked body. 0 without either header.
 * @throws CodedError SCRUBJAY_ERR_BODY_TOO_LARGE before a byte is read
 */
export function declaredBytes(raw: IncomingMessage, bytesMax: number): number | undefined {
  const header = raw.headers['content-length'];
  if (header === undefined) {
    return raw.headers['transfer-encoding'] === undefined ? 0 : undefined;
  }
  const declared = Number(header);
  if (declared > bytesMax) throw tooLarge(declared, bytesMax);
  return declared;
}

const tooLarge = (actual: number, limit: number): CodedError =>
  new CodedError('SCRUBJAY_ERR_BODY_TOO_LARGE', { actual, limit });

/**
 * Puts chunks together. The first is kept as it came (most bodies have one); from the second on
 * bytes are copied, so that a body in chunks of one byte costs its size and not an object each.
 */
class ChunkBuffer {
  readonly #expected: number;
  #bytes: Buffer | undefined;
  #owned = false;
  length = 0;

  constructor(expected: number) {
    this.#expected = expected;
  }

  add(chunk: Buffer): void {
    const length = this.length + chunk.length;
    if (this.#bytes === undefined) this.#bytes = chunk;
    else {
      if (!this.#owned || length > this.#bytes.length) this.#grow(length);
      chunk.copy(this.#bytes, this.length);
    }
    this.length = length;
  }

  #grow(length: number): void {
    // By doubling, whatever was declared: a header that lies costs nothing.
    const doubled = Math.max(length * 2, BUFFER_BYTES_MIN);
    const wanted = this.#expected === 0 ? doubled : Math.min(this.#expected, doubled);
    const bytes = Buffer.allocUnsafeSlow(Math.max(length, wanted));
    this.#bytes?.copy(bytes, 0, 0, this.length);
    this.#bytes = bytes;
    this.#owned = true;
  }

  take(): Buffer {
    return this.#bytes?.subarray(0, this.length) ?? Buffer.alloc(0);
  }
}

/**
 * The whole body.
 * @param declared what declaredBytes said
 * @param onGrowth called with the bytes of each chunk; may throw
 * @throws CodedError SCRUBJAY_ERR_BODY_TOO_LARGE, SCRUBJAY_ERR_BODY_ABORTED, or what onGrowth
 *   throws
 */
export function readBody(
  raw: IncomingMessage,
  declared: number | undefined,
  bytesMax: number,
  onGrowth: (bytes: number) => void,
): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const chunks = new ChunkBuffer(declared ?? 0);
    const onData = (chunk: Buffer): void => {
      try {
        if (declared === undefined) {
          const length = chunks.length + chunk.length;
          if (length > bytesMax) throw tooLarge(length, bytesMax);
        }
        onGrowth(chunk.length);
        chunks.add(chunk);
      } catch (error) {
        stop();
        reject(error);
      }
    };
    const onEnd = (): void => {
      stop();
      resolve(chunks.take());
    };
    // 'close' without 'end': the client went away; 'error' says the same in other cases.
    const onGone = (): void => {
      stop();
      reject(new CodedError('SCRUBJAY_ERR_BODY_ABORTED'));
    };
    const stop = (): void => {
      raw.off('data', onData).off('end', onEnd).off('close', onGone);
    };
    // Stays: an error after the end of our interest must not be unhandled.
    raw.on('error', onGone);
    raw.on('data', onData).on('end', onEnd).on('close', onGone);
  });
}

/** Is there a body, or the rest of one, that was not read? */
export function isUnread(raw: IncomingMessage): boolean {
  if (raw.complete) return false;
  const length = raw.headers['content-length'];
  return raw.headers['transfer-encoding'] !== undefined || (length !== undefined && length !== '0');
}

/**
 * Reads and drops the rest of a body: closing a socket with unread bytes resets it, and the client
 * would lose the answer. Ends when the body does, after 128 MiB, or after five seconds.
 */
export async function discardBody(raw: IncomingMessage, clock: Clock): Promise<void> {
  const over = new AbortController();
  let bytes = 0;
  const end = (): void => {
    over.abort();
  };
  const onData = (chunk: Buffer): void => {
    bytes += chunk.length;
    if (bytes > DISCARD_BYTES_MAX) over.abort();
  };
  if (raw.readableEnded || raw.destroyed) return;
  raw.on('data', onData).on('end', end).on('close', end).on('error', end).resume();
  await clock.sleep(DISCARD_MS_MAX, over.signal);
  raw.off('data', onData).off('end', end).off('close', end);
}
