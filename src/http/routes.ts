/** Every route of the server. Those who register a route take method, path and text from here. */
export interface Route {
  readonly method: 'GET' | 'POST';
  /** `{name}` is a parameter. */
  readonly path: string;
  /** One sentence for README. */
  readonly doc: string;
}

export const ROUTES = [
  {
    method: 'POST',
    path: '/api/v2/spans',
    doc: 'Spans in JSON v2 or protobuf, plain or compressed; 202 once they are on disk',
  },
  { method: 'POST', path: '/api/v1/spans', doc: 'The same for JSON v1 and Thrift' },
  {
    method: 'GET',
    path: '/api/v1/rejections',
    doc: 'The last spans that were not kept: reason, client, service and an example',
  },
  { method: 'GET', path: '/api/v2/traces', doc: 'Traces that a search finds, newest first' },
  { method: 'GET', path: '/api/v2/traceMany', doc: 'The traces of the ids in `traceIds`' },
  { method: 'GET', path: '/api/v2/dependencies', doc: 'Who called whom how often, by service' },
  { method: 'GET', path: '/api/v2/services', doc: 'Names of the services that sent spans' },
  { method: 'GET', path: '/api/v2/spans', doc: 'Span names of the service `serviceName`' },
  {
    method: 'GET',
    path: '/api/v2/remoteServices',
    doc: 'Services that the service `serviceName` talked to',
  },
  { method: 'GET', path: '/api/v2/autocompleteKeys', doc: 'Tag keys of `AUTOCOMPLETE_KEYS`' },
  { method: 'GET', path: '/api/v2/autocompleteValues', doc: 'Values of the tag `key`, if listed' },
  { method: 'GET', path: '/api/v2/trace/{traceId}', doc: 'The spans of one trace as JSON v2' },
  { method: 'GET', path: '/health', doc: 'State of the node and of each component; 503 if down' },
  { method: 'GET', path: '/actuator/health', doc: 'The same' },
  { method: 'GET', path: '/info', doc: 'Version of the program' },
  { method: 'GET', path: '/actuator/info', doc: 'The same' },
  { method: 'GET', path: '/metrics', doc: 'The collector counters as JSON, as Zipkin has them' },
  { method: 'GET', path: '/prometheus', doc: 'Metrics in the Prometheus text format' },
  { method: 'GET', path: '/actuator/prometheus', doc: 'The same' },
  { method: 'GET', path: '/api/v1/ledger', doc: 'The books: what became of every span received' },
  { method: 'GET', path: '/zipkin/config.json', doc: "What Zipkin's UI asks its server first" },
  {
    method: 'GET',
    path: '/grafana/api/v2/trace/{traceId}',
    doc: 'One trace for Grafana: every span with a time and an id of its own',
  },
  {
    method: 'GET',
    path: '/grafana/api/v2/traces',
    doc: 'Traces for Grafana: each begins with its root, 100 unless `limit` says otherwise',
  },
  { method: 'GET', path: '/grafana/api/v2/services', doc: 'The same as without `/grafana`' },
  { method: 'GET', path: '/grafana/api/v2/spans', doc: 'The same as without `/grafana`' },
] as const satisfies readonly Route[];
