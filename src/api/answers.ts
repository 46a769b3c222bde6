/** Words that the read routes share. */
import type { FastifyReply } from 'fastify';

export const JSON_TYPE = 'application/json';
export const JSON_UTF8_TYPE = 'application/json; charset=utf-8';
export const ACTUATOR_TYPE = 'application/vnd.spring-boot.actuator.v2+json; charset=utf-8';

/** Bytes, since Fastify would add a charset to the type of a text. */
export const answerBytes = (
  reply: FastifyReply,
  status: number,
  type: string,
  body: Uint8Array,
): FastifyReply =>
  reply
    .code(status)
    .header('content-type', type)
    .send(Buffer.from(body.buffer, body.byteOffset, body.byteLength));

/** Aborts when the client goes away before it has its answer. */
export function abortSignalOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController();
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished) controller.abort();
  });
  return controller.signal;
}
