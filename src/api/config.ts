/** Settings of the UI, which it asks for at /zipkin/config.json. */
import { decimal, durationMs, flag, integer, text } from '../base/settings.ts';

const isLink = (value: string): boolean => value === '' || /^(?:https?:\/)?\/\S*$/.test(value);
const LINK = 'an http or https URL, or a path';

export const uiSettings = {
  enabled: flag({
    env: 'UI_ENABLED',
    default: true,
    doc: 'Tell the UI its settings; without the query API there is no UI either',
  }),
  environment: text({
    env: 'ZIPKIN_UI_ENVIRONMENT',
    default: '',
    doc: 'Where this is, as `staging`: for the header of the page',
  }),
  queryLimit: integer({
    env: 'ZIPKIN_UI_QUERY_LIMIT',
    default: 10,
    min: 1,
    max: 1_000_000,
    unit: 'traces',
    doc: 'Most traces that a search in the UI asks for unless the user says otherwise',
  }),
  defaultLookbackMs: durationMs({
    env: 'ZIPKIN_UI_DEFAULT_LOOKBACK',
    default: 900_000,
    min: 1,
    doc: 'How far a search in the UI reaches back unless the user says otherwise',
  }),
  logsUrl: text({
    env: 'ZIPKIN_UI_LOGS_URL',
    default: '',
    allowed: LINK,
    test: isLink,
    doc: 'Where the logs of a trace are; `{traceId}` stands for its id',
  }),
  supportUrl: text({
    env: 'ZIPKIN_UI_SUPPORT_URL',
    default: '',
    allowed: LINK,
    test: isLink,
    doc: 'Where users find help',
  }),
  archivePostUrl: text({
    env: 'ZIPKIN_UI_ARCHIVE_POST_URL',
    default: '',
    allowed: LINK,
    test: isLink,
    doc: 'Where the UI posts traces that are to be kept for long, as `…/api/v2/spans`',
  }),
  archiveUrl: text({
    env: 'ZIPKIN_UI_ARCHIVE_URL',
    default: '',
    allowed: LINK,
    test: isLink,
    doc: 'Where such a trace is found then; `{traceId}` stands for its id',
  }),
  dependencyEnabled: flag({
    env: 'ZIPKIN_UI_DEPENDENCY_ENABLED',
    default: true,
    doc: 'Show the page of dependencies',
  }),
  lowErrorRate: decimal({
    env: 'ZIPKIN_UI_DEPENDENCY_LOW_ERROR_RATE',
    default: 0.5,
    max: 1,
    unit: 'share of calls',
    doc: 'A dependency of which so many calls fail is yellow',
  }),
  highErrorRate: decimal({
    env: 'ZIPKIN_UI_DEPENDENCY_HIGH_ERROR_RATE',
    default: 0.75,
    max: 1,
    unit: 'share of calls',
    doc: 'A dependency of which so many calls fail is red',
  }),
};
