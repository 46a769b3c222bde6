/** py_zipkin: its three encodings, each with a good 64-bit and a failing 128-bit trace. */
import path from 'node:path';
import { prepare } from '../lib/build-cache.mjs';
import { run } from '../lib/process.mjs';
import { HOST, checkB3, checkTrace, fetchTrace, same } from '../lib/trace.mjs';

const BUILD_TIMEOUT_MS = 300_000;
const RUN_TIMEOUT_MS = 60_000;
const FRONTEND = 'py-frontend';
const BACKEND = 'py-backend';
const NOTE = 'größe "L" 日本';
const CASES = ['V1_JSON', 'V2_JSON', 'V2_PROTO3'].flatMap((encoding) => [
  { encoding, idLength: 16, failing: false },
  { encoding, idLength: 32, failing: true },
]);

export async function testPython({ url, report }) {
  const folder = await prepare(report, 'python', {
    tools: [{ command: 'python3', args: ['--version'] }],
    build,
  });
  if (folder === undefined) return;
  // Nothing between the services of the script, nor between them and the collector.
  const env = { NO_PROXY: '*', no_proxy: '*', PYTHONDONTWRITEBYTECODE: '1' };
  const script = [path.join(folder, 'shop.py'), '--url', url];
  const { stdout } = await run(pythonOf(folder), script, { env, timeoutMs: RUN_TIMEOUT_MS });
  const seen = stdout.trim().split('\n').map(JSON.parse);
  report.check('python: 6 requests', () => same(seen.map(caseOf), CASES, 'the requests'));
  for (const request of seen) await checkRequest(url, report, request);
}

async function build(cwd) {
  await run('python3', ['-m', 'venv', 'venv'], { cwd, timeoutMs: BUILD_TIMEOUT_MS });
  const pip = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check'];
  await run(pythonOf(cwd), [...pip, '-r', 'requirements.txt'], {
    cwd,
    timeoutMs: BUILD_TIMEOUT_MS,
  });
}

function pythonOf(folder) {
  return path.join(folder, 'venv', 'bin', 'python');
}

function caseOf({ encoding, traceId, failing }) {
  return { encoding, idLength: traceId.length, failing };
}

async function checkRequest(url, report, request) {
  const { encoding, traceId, failing, status, sent, failures } = request;
  const title = `python ${encoding} ${traceId.length * 4}-bit ${failing ? 'failing' : 'good'}`;
  report.check(`${title}: answer`, () => same(status, failing ? 500 : 200, 'the status'));
  report.check(`${title}: every message got a 202`, () =>
    same({ sent, failures }, { sent: 2, failures: [] }, 'the transport saw'),
  );
  const expected = expectedSpans(request);
  const trace = await fetchTrace(url, traceId, expected.length);
  const spans = checkTrace(report, title, trace, expected);
  if (spans === undefined) return;
  checkB3(report, title, request.propagated, spans.get('call'), { 'x-b3-flags': '0' });
}

function expectedSpans({ failing, frontendPort, backendPort }) {
  const item = failing ? '0' : '7';
  const order = { 'http.method': 'GET', 'http.path': `/order/${item}` };
  const stock = { 'http.method': 'GET', 'http.path': `/stock/${item}` };
  const frontend = { service: FRONTEND, local: frontendPort };
  const backend = { service: BACKEND, local: backendPort };
  // The servers set the status on their good path only.
  const status = failing ? {} : { 'http.status_code': '200' };
  const calling = failing ? { error: /^HTTPError: HTTP Error 500/ } : {};
  const asked = failing ? { error: /^LookupError: no ledger for item 0$/ } : {};
  return [
    { key: 'order', ...frontend, kind: 'SERVER', name: `get /order/${item}`, ...calling,
      tags: { ...order, ...status }, annotations: ['order.received'] },
    { key: 'call', ...frontend, kind: 'CLIENT', name: 'get', ...calling, parent: 'order',
      remote: { serviceName: BACKEND, ipv4: HOST, port: backendPort },
      tags: { ...stock, note: NOTE } },
    { key: 'stock', ...backend, kind: 'SERVER', name: `get /stock/${item}`, ...asked,
      parent: 'order', halfOf: 'call', tags: { ...stock, ...status },
      annotations: ['stock.asked'] },
    { key: 'ledger', ...backend, name: 'ledger.read', ...asked, parent: 'call',
      tags: { ledger: 'paper' } },
  ];
}
