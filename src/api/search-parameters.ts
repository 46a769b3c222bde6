/**
 * The search that `GET /api/v2/traces` asks for, checked in the order of
 * zipkin2/storage/QueryRequest.java: all numbers first, in the order of the parameters.
 */
import { parseAnnotationQuery } from '../query/search-match.ts';
import type { SearchRequest } from '../query/search-match.ts';
import { badQuery } from './query-parameters.ts';
import type { QueryParameters } from './query-parameters.ts';

const LIMIT_DEFAULT = 10;

export interface SearchDefaults {
  /** Epoch ms: where a search without endTs begins. */
  readonly nowMs: number;
  /** QUERY_LOOKBACK. */
  readonly lookbackMs: number;
}

/** @throws {SCRUBJAY_ERR_BAD_QUERY} in Zipkin's words */
export function readSearch(parameters: QueryParameters, defaults: SearchDefaults): SearchRequest {
  const serviceName = nameOf(parameters.text('serviceName'));
  const remoteServiceName = nameOf(parameters.text('remoteServiceName'));
  const anySpanName = nameOf(parameters.text('spanName'));
  const spanName = anySpanName === 'all' ? undefined : anySpanName;
  const minDurationUs = parameters.long('minDuration');
  const maxDurationUs = parameters.long('maxDuration');
  const endTsMs = parameters.long('endTs') ?? defaults.nowMs;
  const lookbackMs = parameters.long('lookback') ?? defaults.lookbackMs;
  const limit = parameters.int('limit', LIMIT_DEFAULT);
  const fault = faultOf(endTsMs, limit, lookbackMs, minDurationUs, maxDurationUs);
  if (fault !== undefined) throw badQuery(fault);
  return {
    ...(serviceName === undefined ? {} : { serviceName }),
    ...(remoteServiceName === undefined ? {} : { remoteServiceName }),
    ...(spanName === undefined ? {} : { spanName }),
    annotationQuery: parseAnnotationQuery(parameters.text('annotationQuery') ?? ''),
    ...(minDurationUs === undefined ? {} : { minDurationUs }),
    ...(maxDurationUs === undefined ? {} : { maxDurationUs }),
    endTsMs,
    lookbackMs,
    limit,
  };
}

/** Lower-cased; undefined for none. */
const nameOf = (text: string | undefined): string | undefined =>
  text === undefined || text === '' ? undefined : text.toLowerCase();

function faultOf(
  endTsMs: number,
  limit: number,
  lookbackMs: number,
  minDurationUs: number | undefined,
  maxDurationUs: number | undefined,
): string | undefined {
  if (endTsMs <= 0) return 'endTs <= 0';
  if (limit <= 0) return 'limit <= 0';
  if (lookbackMs <= 0) return 'lookback <= 0';
  if (minDurationUs !== undefined) {
    if (minDurationUs <= 0) return 'minDuration <= 0';
    const inverted = maxDurationUs !== undefined && maxDurationUs < minDurationUs;
    return inverted ? 'maxDuration < minDuration' : undefined;
  }
  return maxDurationUs === undefined ? undefined : 'maxDuration is only valid with minDuration';
}
