#!/usr/bin/env node
/** Runs the real clients against a collector and reads their traces back. See README.md. */
import { parseArgs } from 'node:util';
import { testGo } from './clients/go.mjs';
import { testPython } from './clients/python.mjs';
import { testSpring } from './clients/spring.mjs';
import { isHealthy, readLedger, startScrubjay } from './lib/collector.mjs';
import { Report } from './lib/report.mjs';
import { same } from './lib/trace.mjs';

const CLIENTS = { spring: testSpring, python: testPython, go: testGo };
const USAGE = 'node run.mjs [--only spring,python,go] [--url http://127.0.0.1:9411] [--reference]';
const EXIT_USAGE = 2;

function readCommandLine() {
  const { values } = parseArgs({
    options: {
      only: { type: 'string', default: Object.keys(CLIENTS).join(',') },
      url: { type: 'string' },
      reference: { type: 'boolean', default: false },
    },
  });
  const names = values.only.split(',');
  const unknown = names.filter((name) => !Object.hasOwn(CLIENTS, name));
  if (unknown.length > 0) throw new Error(`no such client: ${unknown.join(', ')}`);
  if (values.reference && values.url === undefined) throw new Error('--reference needs --url');
  const url = values.url === undefined ? undefined : new URL(values.url).origin;
  return { names, url, reference: values.reference };
}

async function testClients({ names, url, reference }, report) {
  for (const name of names) {
    try {
      await CLIENTS[name]({ url, reference, report });
    } catch (error) {
      report.fail(`${name}: run`, error.message);
    }
  }
}

async function testOther(options, report) {
  if (await isHealthy(options.url)) await testClients(options, report);
  else report.fail('collector', `${options.url}/health does not answer 200`);
}

async function testScrubjay(options, report) {
  const scrubjay = await startScrubjay();
  await testClients({ ...options, url: scrubjay.url }, report);
  const ledger = await readLedger(scrubjay.url);
  report.check('scrubjay: no span was turned away and the books balance', () => {
    const { rejected, refused, duplicate, imbalance } = ledger;
    const none = { rejected: 0, refused: 0, duplicate: 0, imbalance: 0 };
    same({ rejected, refused, duplicate, imbalance }, none, 'the ledger');
  });
  const { code } = await scrubjay.stop();
  report.check('scrubjay: SIGTERM ends it', () => same(code, 0, 'the exit code'));
}

async function main() {
  let options;
  try {
    options = readCommandLine();
  } catch (error) {
    console.error(`${error.message}\n${USAGE}`);
    return EXIT_USAGE;
  }
  const report = new Report();
  try {
    await (options.url === undefined ? testScrubjay : testOther)(options, report);
  } catch (error) {
    report.fail('collector', error.message);
  }
  report.close();
  return report.failed ? 1 : 0;
}

process.exit(await main());
