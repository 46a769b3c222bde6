/** Self-tracing of queries: one span for each request to the query API, as Zipkin traces itself. */
import type { FastifyInstance } from 'fastify';
import type { Activity, SelfTracer } from '../telemetry/self-tracing.ts';

const QUERY_PATH = /^\/(?:zipkin\/|grafana\/)?api\/v2\//;

/** Before the routes are registered; costs nothing while the tracer is off. */
export function traceQueries(app: FastifyInstance, tracer: Pick<SelfTracer, 'start'>): void {
  const activities = new WeakMap<object, Activity>();
  app.addHook('onRequest', (request, _reply, done) => {
    if (request.method === 'GET' && QUERY_PATH.test(request.url)) {
      const activity = tracer.start('query', 'SERVER', request.headers);
      if (activity.recording) activities.set(request, activity);
    }
    done();
  });
  app.addHook('onResponse', (request, reply, done) => {
    const activity = activities.get(request);
    if (activity !== undefined) {
      activity.tag('http.method', request.method);
      activity.tag('http.path', request.url.replace(/\?.*$/s, ''));
      activity.tag('http.status_code', reply.statusCode);
      if (reply.statusCode >= 500) activity.error(`status ${reply.statusCode}`);
      activity.end();
    }
    done();
  });
}
