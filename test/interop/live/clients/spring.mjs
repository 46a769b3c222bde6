/** Spring Boot: two JVMs, whose traces hold a joined call and a parent-and-child call. */
import { randomBytes } from 'node:crypto';
import path from 'node:path';
import { prepare } from '../lib/build-cache.mjs';
import { run, start } from '../lib/process.mjs';
import { ANY_PORT, HOST, checkB3, checkTrace, fetchTrace, same } from '../lib/trace.mjs';

const BUILD_TIMEOUT_MS = 900_000;
const START_TIMEOUT_MS = 120_000;
const REQUEST_TIMEOUT_MS = 60_000;
/** Two of these run beside the collector: little memory, and no compiler for the long run. */
const JVM = ['-Xmx192m', '-XX:TieredStopAtLevel=1', '-XX:+UseSerialGC'];
const FRONTEND = 'shop-frontend';
const BACKEND = 'shop-backend';
const NOTE = 'größe "L" 日本';
/** The order whose note makes the reporter's JSON writer leave NUL bytes between two spans. */
const PADDED_ORDER = '2028';
const PADDED_NOTE = 'größe "L"\u2028日本';
const JAVA = { command: 'java', args: ['-version'], pattern: /version "(\d+)/, minimum: 17 };

export async function testSpring({ url, reference, report }) {
  const folder = await prepare(report, 'spring', {
    tools: [JAVA, { command: 'mvn', args: ['-version'] }],
    build: (cwd) =>
      run('mvn', ['-B', '-q', '-ntp', '-DskipTests', 'package'], {
        cwd,
        timeoutMs: BUILD_TIMEOUT_MS,
      }),
  });
  if (folder === undefined) return;
  const services = [];
  try {
    const jar = path.join(folder, 'target', 'shop.jar');
    const backendUrl = await startService(services, jar, 'backend', url, {});
    const shop = await startService(services, jar, 'frontend', url, { BACKEND_URL: backendUrl });
    await testOrders({ url, reference, report, shop, backendUrl });
  } finally {
    await Promise.all(services.map((service) => service.stop()));
  }
}

async function startService(services, jar, role, url, env) {
  const service = start('java', [...JVM, '-jar', jar, role], {
    env: { ZIPKIN_ENDPOINT: `${url}/api/v2/spans`, ...env },
  });
  services.push(service);
  const [, port] = await service.waitUntil(`The ${role} listens`, START_TIMEOUT_MS, () =>
    /^LISTENING (\d+)$/m.exec(service.stdout),
  );
  return `http://${HOST}:${port}`;
}

async function testOrders(test) {
  const outside = { traceId: randomId(), id: randomId() };
  const orders = [
    { title: 'good', item: '7' },
    { title: 'failing in the joined call', item: '0' },
    { title: 'failing in the child call', item: '13' },
    { title: 'below an outside 64-bit single-header B3', item: '7', outside },
  ];
  const sent = [];
  for (const order of orders) sent.push(await placeOrder(test, order));
  for (const order of sent) await checkOrder(test, order);

  // The last one, once the others are there: Zipkin drops the whole list with the NUL bytes.
  const title = 'NUL bytes between the spans';
  if (test.reference) {
    test.report.skip(`spring ${title}`, 'Zipkin refuses such a list');
    return;
  }
  await checkOrder(test, await placeOrder(test, { title, item: PADDED_ORDER }));
}

async function placeOrder({ shop }, order) {
  const { outside } = order;
  const headers = outside === undefined ? {} : { b3: `${outside.traceId}-${outside.id}-1` };
  const answer = await fetch(`${shop}/order/${order.item}`, {
    headers,
    signal: AbortSignal.timeout(REQUEST_TIMEOUT_MS),
  });
  const body = await answer.json();
  const traceId = answer.headers.get('x-trace-id');
  return { ...order, traceId, status: answer.status, body };
}

async function checkOrder({ url, report, backendUrl }, order) {
  const title = `spring ${order.title}`;
  const { item, outside, traceId, status, body } = order;
  const failing = item === '0' || item === '13';
  report.check(`${title}: answer`, () => {
    same(status, failing ? 500 : 200, 'the status');
    if (outside === undefined) same(/^[0-9a-f]{32}$/.test(traceId), true, '128-bit trace id');
    else same(traceId, outside.traceId, 'the trace id');
  });
  const expected = expectedSpans(order, backendUrl);
  const trace = await fetchTrace(url, traceId, expected.length);
  const spans = checkTrace(report, title, trace, expected);
  // The backend's answers, and with them the headers it saw, are in a good answer only.
  if (spans === undefined || failing) return;
  checkB3(report, `${title}: stock`, body.stock.propagated, spans.get('stock call'));
  checkB3(report, `${title}: price`, body.price.propagated, spans.get('price call'));
}

/** The failing joined call ends the order before the price is asked for. */
function expectedSpans(order, backendUrl) {
  const joined = [...orderSpans(order), ...stockSpans(order, backendUrl)];
  return order.item === '0' ? joined : [...joined, ...priceSpans(order, backendUrl)];
}

function orderSpans({ item, outside }) {
  const noStock = item === '0' ? { error: /^500 Internal Server Error/ } : {};
  const failed = item === '13' ? { error: /^500 Internal Server Error/ } : noStock;
  const note = item === PADDED_ORDER ? PADDED_NOTE : NOTE;
  return [
    { key: 'order', service: FRONTEND, kind: 'SERVER', name: 'http get /order/{id}', ...failed,
      parent: outside, tags: observed('/order/{id}', `/order/${item}`, failed.error) },
    { key: 'check', service: FRONTEND, name: 'stock.check', ...noStock, parent: 'order',
      tags: { 'order.kind': 'retail', 'order.note': note }, annotations: ['stock.asked'] },
  ];
}

/** Brave's filter on the server: the halves of the call have one id. */
function stockSpans({ item }, backendUrl) {
  const failing = item === '0';
  const stockPath = `/stock/${item}`;
  const calling = failing ? { error: /^500 Internal Server Error/ } : {};
  const asked = failing ? { error: /IllegalStateException: no ledger for item 0$/ } : {};
  const status = failing ? { 'http.status_code': '500' } : {};
  return [
    clientSpan('stock call', 'check', '/stock/{id}', backendUrl + stockPath, calling),
    { key: 'stock', service: BACKEND, kind: 'SERVER', name: 'get /stock/{id}', ...asked,
      parent: 'check', halfOf: 'stock call', remote: { ipv4: HOST, port: ANY_PORT },
      tags: { 'http.method': 'GET', 'http.path': stockPath, ...status } },
    { key: 'ledger', service: BACKEND, name: 'ledger.read', parent: 'stock call',
      ...(failing && { error: /^no ledger for item 0$/ }) },
  ];
}

/** Boot alone: the server's span is a child of the client's. */
function priceSpans({ item }, backendUrl) {
  const failing = item === '13';
  const pricePath = `/price/${item}`;
  const calling = failing ? { error: /^500 Internal Server Error/ } : {};
  const asked = failing ? { error: /^no price for item 13$/ } : {};
  const exception = 'IllegalArgumentException';
  return [
    clientSpan('price call', 'order', '/price/{id}', backendUrl + pricePath, calling),
    { key: 'price', service: BACKEND, kind: 'SERVER', name: 'http get /price/{id}', ...asked,
      parent: 'price call', tags: observed('/price/{id}', pricePath, asked.error, exception) },
  ];
}

/** Boot's client spans have no remote endpoint. */
function clientSpan(key, parent, uri, url, failed) {
  const tags = { 'client.name': HOST, ...observed(uri, url, failed.error) };
  return { key, service: FRONTEND, kind: 'CLIENT', name: 'http get', uri, parent, ...failed, tags };
}

/** The tags of Boot's own observations. */
function observed(uri, url, error, exception = 'InternalServerError') {
  const outcome =
    error === undefined
      ? { exception: 'none', outcome: 'SUCCESS', status: '200' }
      : { exception, outcome: 'SERVER_ERROR', status: '500' };
  return { 'http.url': url, method: 'GET', uri, ...outcome };
}

/** Not zero in the first digit: ids are compared as text. */
function randomId() {
  return `1${randomBytes(8).toString('hex').slice(1)}`;
}
