/** The Scrubjay under test, on a free port and with a data folder of its own. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { atExit, start } from './process.mjs';

const PROJECT = path.resolve(import.meta.dirname, '../../../..');
const READY_TIMEOUT_MS = 60_000;
const ANSWER_TIMEOUT_MS = 5000;
/** Settings in the environment of the caller are not those of this test. */
const FOREIGN_SETTING = /^(?:SCRUBJAY_|QUERY_|COLLECTOR_|STORAGE_|SELF_TRACING_)/;

export async function startScrubjay() {
  if (!existsSync(path.join(PROJECT, 'dist', 'main.js'))) {
    throw new Error('dist/main.js is not there: npm run build makes it');
  }
  const dataDir = mkdtempSync(path.join(tmpdir(), 'scrubjay-live-data-'));
  atExit(() => rmSync(dataDir, { recursive: true, force: true, maxRetries: 5 }));
  const port = await freePort();
  const foreign = Object.keys(process.env).filter((name) => FOREIGN_SETTING.test(name));
  const scrubjay = start(process.execPath, ['dist/main.js'], {
    cwd: PROJECT,
    env: {
      ...Object.fromEntries(foreign.map((name) => [name, undefined])),
      QUERY_PORT: String(port),
      SCRUBJAY_DATA_DIR: dataDir,
      SCRUBJAY_LISTEN_HOST: '127.0.0.1',
    },
  });
  const url = `http://127.0.0.1:${port}`;
  await scrubjay.waitUntil('Scrubjay answers /health', READY_TIMEOUT_MS, () => isHealthy(url));
  return { url, stop: () => scrubjay.stop() };
}

export async function isHealthy(url) {
  try {
    const answer = await fetch(`${url}/health`, {
      signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
    });
    await answer.arrayBuffer();
    return answer.status === 200;
  } catch {
    return false;
  }
}

export async function readLedger(url) {
  const answer = await fetch(`${url}/api/v1/ledger`, {
    signal: AbortSignal.timeout(ANSWER_TIMEOUT_MS),
  });
  if (answer.status !== 200) throw new Error(`the ledger answers ${answer.status}`);
  return answer.json();
}

function freePort() {
  return new Promise((resolve, reject) => {
    const server = createServer();
    server.on('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const { port } = server.address();
      server.close(() => resolve(port));
    });
  });
}
