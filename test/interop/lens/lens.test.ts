/** Zipkin's own UI, unchanged, works on a Scrubjay: search, traces and dependencies. */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Chromium, findChromium } from './chromium.ts';
import { serveLens, unpackLens } from './lens-server.ts';
import type { LensServer } from './lens-server.ts';
import { startScrubjay } from '../scrubjay-process.ts';
import type { Scrubjay } from '../scrubjay-process.ts';
import { loadTestData } from './testdata.ts';
import type { LoadedTrace } from './testdata.ts';

/** The UI as it was unpacked, and pictures of its pages. */
const ARTIFACTS = fileURLToPath(new URL('../../artifacts/lens', import.meta.url));

interface Box {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
}

mkdirSync(ARTIFACTS, { recursive: true });
const chromium = findChromium();
const lens = chromium === undefined ? { reason: 'there is no Chromium' } : unpackLens(ARTIFACTS);
const reason = 'reason' in lens ? lens.reason : undefined;

/** Texts of the lines that the page of a trace has for its spans: service, name and the like. */
const TRACES: Readonly<Record<string, readonly string[]>> = {
  ascend: [
    'mobile-gateway: get',
    'content-service: get /content/personal',
    'auth-service: http:/parent/auth-service/v1/authentications/',
    'auth-service: extend-token-life',
  ],
  messaging: ['frontend: get /', 'frontend: publish', 'backend: on-message'],
  messaging2: ['transfer-service: push-topic-s-n-s', 'notification-service', 'auth-service'],
  'simple-db-p6': ['bootifulmeters', 'app_db'],
  skew: ['servicea', 'serviceb'],
  yelp: [
    'routing: post /location/update/v4',
    'memcache: get user_details_cache-20150901',
    'mysql: begin',
    'spectre: get',
  ],
};

const buttonNamed = (name: string): string =>
  `[...document.querySelectorAll('button, a')]
    .find((button) => button.innerText.trim().toLowerCase() === '${name}')`;
const OPTIONS = `[...document.querySelectorAll('[role=option]')]`;

describe.skipIf(reason !== undefined)(`Zipkin's UI (${reason ?? 'zipkin-lens'})`, () => {
  let scrubjay: Scrubjay | undefined;
  let server: LensServer | undefined;
  let browser: Chromium;
  let traces: ReadonlyMap<string, LoadedTrace>;

  beforeAll(async () => {
    scrubjay = await startScrubjay();
    traces = await loadTestData(scrubjay.url);
    server = await serveLens((lens as { root: string }).root, scrubjay.url);
    browser = await Chromium.start(chromium!);
  });

  afterAll(async () => {
    await browser?.stop();
    await server?.stop();
    await scrubjay?.stop();
  });

  const open = (page: string): Promise<void> => browser.open(server!.url + page);
  const shot = (name: string): Promise<void> => browser.screenshot(join(ARTIFACTS, `${name}.png`));
  const runQuery = (): Promise<void> => browser.click(buttonNamed('run query'));

  test('takes its settings from the server', async () => {
    const config = await fetch(`${server!.url}config.json`);
    expect(await config.json()).toMatchObject({ queryLimit: 10, searchEnabled: true });
  });

  test.each(Object.entries(TRACES))('shows the trace of %s with its spans', async (name, lines) => {
    const { traceId } = traces.get(name)!;
    await open(`traces/${traceId}`);
    await browser.shows([traceId, ...lines]);
    await shot(`trace-${name}`);
    expect(browser.complaints).toEqual([]);
  });

  test('finds traces by their service, and shows one of them', async () => {
    await open('?serviceName=mobile-gateway&lookback=1h&limit=10');
    await runQuery();
    await browser.shows(['mobile-gateway: get', 'mobile-gateway: post']);
    await shot('search');
    await open('?serviceName=mobile-gateway&spanName=get&lookback=1h&limit=10');
    await runQuery();
    await browser.shows(['1 result', 'mobile-gateway: get']);
    await browser.click(buttonNamed('show'));
    await browser.shows([traces.get('ascend')!.traceId, 'content-service: get /content/personal']);
    expect(browser.complaints).toEqual([]);
  });

  test('draws dependencies, and tells how often a service called which others', async () => {
    const now = Date.now();
    await open(`dependency?startTime=${now - 3_600_000}&endTime=${now + 1000}`);
    await runQuery();
    await browser.click(`document.querySelector('main input[placeholder="Select..."]')`);
    await browser.until(`${OPTIONS}.length`);
    const services = await browser.evaluate<string[]>(`${OPTIONS}.map((each) => each.innerText)`);
    expect(services.toSorted()).toEqual(
      (
        'app_db auth-service backend blt bootifulmeters content-service frontend memcache ' +
        'mobile-gateway mobile_api mysql notification-service rabbitmq servicea serviceb spectre ' +
        'transfer-service unknown yelp-main yelp_main/api_proxy'
      ).split(' '),
    );
    await shot('dependencies');
    await browser.type('mobile-gateway');
    await browser.until(`${OPTIONS}.length === 1`);
    await browser.click(`${OPTIONS}[0]`);
    await clickLeftmostService();
    await browser.shows([
      'this service uses 3 services',
      'auth-service\t2\t0',
      'content-service\t1\t0',
      'transfer-service\t2\t0',
    ]);
    await shot('dependencies-of-mobile-gateway');
    expect(browser.complaints).toEqual([]);
  });

  /** The graph is a picture: where a service is, only the shape of the pointer tells. */
  async function clickLeftmostService(): Promise<void> {
    const cursor = `new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() =>
      resolve(document.querySelector('.vizceral canvas').style.cursor))))`;
    const { left, top, width, height } = await browser.evaluate<Box>(
      `document.querySelector('.vizceral canvas').getBoundingClientRect().toJSON()`,
    );
    for (let attempt = 0; attempt < 5; attempt++) {
      const x = left + 0.173 * width;
      for (let y = top + 50; y < top + height - 10; y += 8) {
        await browser.moveTo(x, y);
        if ((await browser.evaluate<string>(cursor)) !== 'pointer') continue;
        await browser.clickAt(x, y);
        return;
      }
    }
    throw new Error('There is no service at the left of the graph');
  }
});
