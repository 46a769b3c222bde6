/**
 * Headless Chromium through its DevTools protocol over a pipe: JSON messages with a NUL behind
 * each, ours on file descriptor 3, its own on 4. https://chromedevtools.github.io/devtools-protocol
 */
import { spawn, spawnSync } from 'node:child_process';
import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Readable, Writable } from 'node:stream';
import { setTimeout as sleep } from 'node:timers/promises';

const COMMANDS = ['chromium', 'chromium-browser', 'google-chrome'];
const ANSWER_MS_MAX = 20_000;
const WAIT_MS_MAX = 20_000;
const CLOSE_MS_MAX = 5000;
const POLL_MS = 100;

interface Message {
  readonly id?: number;
  readonly method?: string;
  readonly params?: Record<string, unknown>;
  readonly result?: Record<string, unknown>;
  readonly error?: { readonly message: string };
}

interface Pending {
  resolve(result: Record<string, unknown>): void;
  reject(error: Error): void;
}

/** Undefined: there is none on this machine. */
export const findChromium = (): string | undefined =>
  COMMANDS.find((command) => spawnSync(command, ['--version']).status === 0);

export class Chromium {
  readonly #process: ChildProcess;
  readonly #dir: string;
  readonly #pending = new Map<number, Pending>();
  #lastId = 0;
  #rest = '';
  #session = '';
  /** What the page complained of: uncaught errors and lines of console.error. */
  readonly complaints: string[] = [];

  private constructor(browser: ChildProcess, dir: string) {
    this.#process = browser;
    this.#dir = dir;
    const fromBrowser = browser.stdio[4] as Readable;
    fromBrowser.setEncoding('utf8').on('data', (chunk: string) => {
      const parts = (this.#rest + chunk).split('\0');
      this.#rest = parts.pop()!;
      for (const part of parts) this.#take(JSON.parse(part) as Message);
    });
    browser.once('exit', () => {
      for (const waiting of this.#pending.values()) waiting.reject(new Error('Chromium has ended'));
    });
  }

  /** A browser with one page. */
  static async start(command: string): Promise<Chromium> {
    const dir = mkdtempSync(join(tmpdir(), 'scrubjay-lens-'));
    const args = [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      '--disable-dev-shm-usage',
      '--enable-unsafe-swiftshader',
      '--window-size=1400,1000',
      `--user-data-dir=${dir}`,
      '--remote-debugging-pipe',
      'about:blank',
    ];
    const stdio = ['ignore', 'ignore', 'ignore', 'pipe', 'pipe'] as const;
    const browser = new Chromium(spawn(command, args, { stdio: [...stdio], detached: true }), dir);
    try {
      await browser.#attach();
    } catch (error) {
      await browser.stop();
      throw error;
    }
    return browser;
  }

  /** Asks it to close, and ends what is left of it. */
  async stop(): Promise<void> {
    const { exitCode, signalCode, pid } = this.#process;
    if (exitCode === null && signalCode === null) {
      const ended = once(this.#process, 'exit');
      this.#session = '';
      await this.#send('Browser.close').catch(() => undefined);
      await Promise.race([ended, sleep(CLOSE_MS_MAX, undefined, { ref: false })]);
    }
    try {
      if (pid !== undefined) process.kill(-pid, 'SIGKILL');
    } catch {
      // All of its processes have ended.
    }
    rmSync(this.#dir, { recursive: true, force: true, maxRetries: 10, retryDelay: 100 });
  }

  async open(url: string): Promise<void> {
    await this.#send('Page.navigate', { url });
  }

  /** The value of an expression in the page, which may be a promise. */
  async evaluate<T>(expression: string): Promise<T> {
    const options = { expression, returnByValue: true, awaitPromise: true };
    const { result, exceptionDetails } = await this.#send('Runtime.evaluate', options);
    if (exceptionDetails !== undefined) throw new Error(JSON.stringify(exceptionDetails));
    return (result as { value: T }).value;
  }

  /** All that can be read on the page. */
  text(): Promise<string> {
    return this.evaluate<string>('document.body?.innerText ?? ""');
  }

  /** Waits for the expression to be truthy. @throws Error with what is there instead */
  async until(expression: string, timeoutMs = WAIT_MS_MAX): Promise<void> {
    const endMs = Date.now() + timeoutMs;
    // While a page is being replaced there is none to ask.
    while (!(await this.evaluate<boolean>(`Boolean(${expression})`).catch(() => false))) {
      if (Date.now() > endMs) {
        const complaints = this.complaints.join('\n');
        throw new Error(`not so: ${expression}\n${complaints}\nbut\n${await this.text()}`);
      }
      await sleep(POLL_MS);
    }
  }

  /** Waits until every one of the texts can be read, whatever its case. */
  async shows(texts: readonly string[]): Promise<void> {
    const lower = JSON.stringify(texts.map((text) => text.toLowerCase()));
    const text = `(document.body?.innerText ?? '').toLowerCase()`;
    await this.until(`${lower}.every((text) => ${text}.includes(text))`);
  }

  /** Clicks in the middle of the element that the expression finds, once it is there. */
  async click(element: string): Promise<void> {
    await this.until(element);
    const { x, y } = await this.evaluate<{ x: number; y: number }>(
      `(() => { const r = (${element}).getBoundingClientRect();
        return { x: r.x + r.width / 2, y: r.y + r.height / 2 }; })()`,
    );
    await this.clickAt(x, y);
  }

  async clickAt(x: number, y: number): Promise<void> {
    for (const type of ['mousePressed', 'mouseReleased']) {
      const event = { type, x, y, button: 'left', clickCount: 1 };
      await this.#send('Input.dispatchMouseEvent', event);
    }
  }

  async moveTo(x: number, y: number): Promise<void> {
    await this.#send('Input.dispatchMouseEvent', { type: 'mouseMoved', x, y });
  }

  /** Types into what has the focus. */
  async type(text: string): Promise<void> {
    await this.#send('Input.insertText', { text });
  }

  async screenshot(path: string): Promise<void> {
    const { data } = await this.#send('Page.captureScreenshot', { format: 'png' });
    writeFileSync(path, Buffer.from(data as string, 'base64'));
  }

  async #attach(): Promise<void> {
    const { targetInfos } = await this.#send('Target.getTargets');
    const page = (targetInfos as { type: string; targetId: string }[]).find(
      ({ type }) => type === 'page',
    );
    const { targetId } = page ?? (await this.#send('Target.createTarget', { url: 'about:blank' }));
    const attached = await this.#send('Target.attachToTarget', { targetId, flatten: true });
    this.#session = String(attached['sessionId']);
    await this.#send('Page.enable');
    await this.#send('Runtime.enable');
  }

  async #send(method: string, params: object = {}): Promise<Record<string, unknown>> {
    const id = ++this.#lastId;
    const sessionId = this.#session === '' ? {} : { sessionId: this.#session };
    const answer = new Promise<Record<string, unknown>>((resolve, reject) => {
      this.#pending.set(id, { resolve, reject });
    });
    const toBrowser = this.#process.stdio[3] as Writable;
    toBrowser.write(`${JSON.stringify({ id, method, params, ...sessionId })}\0`);
    const inTime = new AbortController();
    const late = sleep(ANSWER_MS_MAX, undefined, { signal: inTime.signal }).then(
      () => Promise.reject(new Error(`${method}: no answer`)),
      () => ({}),
    );
    try {
      return await Promise.race([answer, late]);
    } finally {
      inTime.abort();
      this.#pending.delete(id);
    }
  }

  #take({ id, result, error, method, params }: Message): void {
    if (method === 'Runtime.exceptionThrown') {
      this.complaints.push(JSON.stringify(params?.['exceptionDetails']).slice(0, 500));
    }
    if (method === 'Runtime.consoleAPICalled' && params?.['type'] === 'error') {
      this.complaints.push(JSON.stringify(params['args']).slice(0, 500));
    }
    const pending = id === undefined ? undefined : this.#pending.get(id);
    if (error === undefined) pending?.resolve(result ?? {});
    else pending?.reject(new Error(error.message));
  }
}
