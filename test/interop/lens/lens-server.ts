/** Zipkin's own UI out of Maven Central, served as its server does, in front of a Scrubjay. */
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { createServer, request as httpRequest } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { extname, join, normalize } from 'node:path';

const MAVEN = 'mvn';
/** The latest one that was published. */
const ARTIFACT = 'io.zipkin:zipkin-lens:3.4.3';
const UNPACK = 'org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack';
const MAVEN_MS_MAX = 240_000;

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'application/javascript',
  '.css': 'text/css',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
};

/**
 * Downloads and unpacks the UI unless it is there.
 * @returns the folder with index.html, or why there is none
 */
export function unpackLens(dir: string): { readonly root: string } | { readonly reason: string } {
  const root = join(dir, 'zipkin-lens');
  if (existsSync(join(root, 'index.html'))) return { root };
  const args = ['-B', '-q', '-ntp', UNPACK, `-Dartifact=${ARTIFACT}`, `-DoutputDirectory=${dir}`];
  const { error, status } = spawnSync(MAVEN, args, {
    timeout: MAVEN_MS_MAX,
    stdio: 'ignore',
    // Maven leaves notes of what it unpacked in the working directory.
    cwd: dir,
  });
  if (error !== undefined) return { reason: `Maven cannot be run: ${error.message}` };
  if (status === 0 && existsSync(join(root, 'index.html'))) return { root };
  return { reason: `Maven did not bring ${ARTIFACT} (exit ${status})` };
}

export interface LensServer {
  readonly url: string;
  stop(): Promise<void>;
}

/** Serves /zipkin/ out of `root`; what the UI asks of its server is passed on to `scrubjay`. */
export async function serveLens(root: string, scrubjay: string): Promise<LensServer> {
  const server = createServer((request, response) => {
    const { pathname } = new URL(request.url ?? '/', 'http://localhost');
    if (pathname.startsWith('/zipkin/api/') || pathname === '/zipkin/config.json') {
      passOn(request, response, scrubjay);
    } else serveFile(pathname, response, root);
  });
  server.listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/zipkin/`,
    stop: async () => {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

function passOn(request: IncomingMessage, response: ServerResponse, scrubjay: string): void {
  const { method, headers } = request;
  const options = { method, headers: { ...headers, host: new URL(scrubjay).host } };
  const onward = httpRequest(scrubjay + (request.url ?? ''), options, (answer) => {
    response.writeHead(answer.statusCode ?? 502, answer.headers);
    answer.pipe(response);
  });
  onward.on('error', () => response.destroy());
  request.pipe(onward);
}

/** Paths without a suffix are pages of the UI. */
function serveFile(pathname: string, response: ServerResponse, root: string): void {
  const inside = normalize(pathname.replace(/^\/zipkin/, '')).replace(/^(?:\.\.[/\\])+/, '');
  const type = TYPES[extname(inside)];
  const file = join(root, type === undefined ? 'index.html' : inside);
  if (!existsSync(file)) {
    response.writeHead(404).end();
    return;
  }
  response.writeHead(200, { 'content-type': type ?? TYPES['.html'] }).end(readFileSync(file));
}
