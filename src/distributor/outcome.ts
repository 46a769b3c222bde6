/** What became of one message, for the transport to answer. */
import type { CodedError } from '../base/errors.ts';
import type { DecodeReport } from '../model/decode-report.ts';

export type PushOutcome =
  /** All spans that were to be kept are durable, now or from an equal message before. */
  | { readonly kind: 'accepted' }
  /** Some spans are durable, others were rejected. */
  | { readonly kind: 'partial'; readonly report: DecodeReport }
  /** Nothing was kept. `message` says why, as Zipkin does. */
  | { readonly kind: 'rejected'; readonly report: DecodeReport; readonly message: string }
  /** Nothing was kept, for no fault of the message: try again later. */
  | { readonly kind: 'refused'; readonly error: CodedError };
