/** zipkin-go: JSON and proto3, 64-bit and 128-bit trace ids, one good and one failing request. */
import path from 'node:path';
import { prepare } from '../lib/build-cache.mjs';
import { run } from '../lib/process.mjs';
import { ANY_PORT, HOST, checkB3, checkTrace, fetchTrace, same } from '../lib/trace.mjs';

const BUILD_TIMEOUT_MS = 300_000;
const RUN_TIMEOUT_MS = 60_000;
const FRONTEND = 'go-frontend';
const BACKEND = 'go-backend';
const NOTE = 'größe "L" <日本> & co';
const CASES = ['json', 'proto3'].flatMap((serializer) =>
  [16, 32].flatMap((idLength) =>
    [false, true].map((failing) => ({ serializer, idLength, failing })),
  ),
);

export async function testGo({ url, report }) {
  const folder = await prepare(report, 'go', {
    tools: [{ command: 'go', args: ['version'] }],
    build: (cwd) => run('go', ['build', '-o', 'shop', '.'], { cwd, timeoutMs: BUILD_TIMEOUT_MS }),
  });
  if (folder === undefined) return;
  const program = path.join(folder, 'shop');
  const { stdout } = await run(program, ['-url', url], { timeoutMs: RUN_TIMEOUT_MS });
  const seen = stdout.trim().split('\n').map(JSON.parse);
  report.check('go: 8 requests', () => same(seen.map(caseOf), CASES, 'the requests'));
  for (const request of seen) await checkRequest(url, report, request);
}

function caseOf({ serializer, traceId, failing }) {
  return { serializer, idLength: traceId.length, failing };
}

async function checkRequest(url, report, request) {
  const { serializer, traceId, failing, status } = request;
  const outcome = failing ? 'failing' : 'good';
  const title = `go ${serializer} ${traceId.length * 4}-bit ${outcome}`;
  report.check(`${title}: answer`, () => same(status, failing ? 500 : 200, 'the status'));
  const expected = expectedSpans(request);
  const trace = await fetchTrace(url, traceId, expected.length);
  const spans = checkTrace(report, title, trace, expected);
  if (spans === undefined) return;
  report.check(`${title}: the root has the low 64 bits of the trace id`, () =>
    same(spans.get('order').id, traceId.slice(-16), 'its id'),
  );
  checkB3(report, title, request.propagated, spans.get('call'));
}

function expectedSpans({ failing, frontendPort, backendPort }) {
  const item = failing ? '0' : '7';
  const stockPath = `/stock/${item}`;
  const frontend = { service: FRONTEND, local: frontendPort };
  const backend = { service: BACKEND, local: backendPort };
  const caller = { ipv4: HOST, port: ANY_PORT };
  const failed = failing ? { error: /^500$/ } : {};
  // The library has a tag for the status where it is not the usual one.
  const http = { 'http.method': 'GET', ...(failing && { 'http.status_code': '500' }) };
  const order = { ...http, 'http.path': `/order/${item}`, note: NOTE };
  const size = failing ? '21' : '11';
  return [
    { key: 'order', ...frontend, kind: 'SERVER', name: 'get', ...failed, remote: caller,
      tags: order, annotations: ['order.received'] },
    { key: 'call', ...frontend, kind: 'CLIENT', name: 'http/get', ...failed, parent: 'order',
      remote: { serviceName: BACKEND, ipv4: HOST, port: backendPort },
      tags: { ...http, 'http.path': stockPath, 'http.response.size': size } },
    { key: 'stock', ...backend, kind: 'SERVER', name: 'get', ...failed, parent: 'order',
      halfOf: 'call', remote: caller, tags: { ...http, 'http.path': stockPath } },
    { key: 'ledger', ...backend, name: 'ledger.read', parent: 'call',
      ...(failing && { error: /^no ledger for item 0$/ }) },
  ];
}
