/** How the outcome of a message is told to an HTTP client. */
import type { FastifyReply } from 'fastify';
import type { PushOutcome } from '../distributor/outcome.ts';
import type { DecodeReport } from '../model/decode-report.ts';

/** Exactly 202 and nothing else: many clients take any other success for a failure. */
export const answerAccepted = (reply: FastifyReply): FastifyReply => reply.code(202).send();

function countSpans(reply: FastifyReply, report: DecodeReport): void {
  reply.header('x-accepted-spans', String(report.accepted));
  reply.header('x-rejected-spans', String(report.rejected));
}

/** Some spans were kept, some not: which, and why. */
function answerPartial(reply: FastifyReply, status: number, report: DecodeReport): FastifyReply {
  countSpans(reply, report);
  if (status === 202) return answerAccepted(reply);
  const body = {
    error: 'partial',
    accepted: report.accepted,
    rejected: report.rejected,
    reasons: Object.fromEntries(report.reasons),
    first: report.first.map(({ index, reason, detail }) => ({ index, reason, detail })),
  };
  return reply
    .code(status)
    .header('content-type', 'application/json')
    .send(Buffer.from(JSON.stringify(body)));
}

function answerRejected(reply: FastifyReply, report: DecodeReport, message: string): FastifyReply {
  countSpans(reply, report);
  return reply.code(400).header('content-type', 'text/plain; charset=utf-8').send(message);
}

/** @throws the CodedError of a refusal */
export function answerOutcome(
  reply: FastifyReply,
  outcome: PushOutcome,
  partialStatus: number,
): FastifyReply {
  switch (outcome.kind) {
    case 'accepted':
      return answerAccepted(reply);
    case 'partial':
      return answerPartial(reply, partialStatus, outcome.report);
    case 'rejected':
      return answerRejected(reply, outcome.report, outcome.message);
    case 'refused':
      break;
  }
  throw outcome.error;
}
