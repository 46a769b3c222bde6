/** Settings of the POST routes that take spans. */
import { choice, flag } from '../base/settings.ts';

export const receiverSettings = {
  httpEnabled: flag({
    env: 'COLLECTOR_HTTP_ENABLED',
    default: true,
    doc: 'Take spans over HTTP; false: the POST routes are not there',
  }),
  partialStatus: choice({
    env: 'SCRUBJAY_PARTIAL_STATUS',
    of: ['400', '202'],
    default: '400',
    doc: 'Status when some spans of a request were kept and some refused; the body lists both',
  }),
};
