/**
 * A Unix socket beside the lock that its owner listens on. The kernel closes it with the last
 * thread of the process, so connecting to it tells whether the owner lives: across containers and
 * process id namespaces, as long as the same kernel runs them.
 */
import { randomUUID } from 'node:crypto';
import { open, unlink, type FileHandle } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { platform } from 'node:process';

/** The kernel's limit is 108 bytes on Linux, 104 elsewhere. */
const PATH_BYTES_MAX = 100;

export interface Beacon {
  /** Of the socket, in the folder. */
  readonly name: string;
  close(): Promise<void>;
}

/** @returns undefined where there can be none: some file systems have no sockets */
export async function lightBeacon(directory: string): Promise<Beacon | undefined> {
  const name = `lock.${randomUUID()}.sock`;
  const reach = await Reach.of(directory, name);
  if (reach === undefined) return undefined;
  const server = createServer((socket) => socket.destroy());
  if (!(await listens(server, reach.path))) {
    await reach.close();
    return undefined;
  }
  server.unref();
  return {
    name,
    close: async () => {
      // Removes the socket's file too.
      await new Promise((resolve) => {
        server.close(resolve);
      });
      await reach.close();
    },
  };
}

/** True: its process lives; false: nobody listens on this machine; undefined: that says nothing. */
export async function isLit(directory: string, name: string): Promise<boolean | undefined> {
  const reach = await Reach.of(directory, name);
  if (reach === undefined) return undefined;
  const code = await new Promise<string>((resolve) => {
    const socket = connect(reach.path);
    socket.once('connect', () => {
      socket.destroy();
      resolve('');
    });
    socket.once('error', (error) => resolve('code' in error ? String(error.code) : 'unknown'));
  });
  await reach.close();
  // EAGAIN: it listens and is too busy, or stopped, to accept.
  if (code === '' || code === 'EAGAIN') return true;
  return code === 'ECONNREFUSED' ? false : undefined;
}

export const removeBeacon = (directory: string, name: string): Promise<void> =>
  unlink(join(directory, name)).catch(() => undefined);

const listens = (server: Server, path: string): Promise<boolean> =>
  new Promise((resolve) => {
    server.once('error', () => resolve(false));
    server.listen(path, () => resolve(true));
  });

/** A path to the socket that is short enough, for as long as it is not closed. */
class Reach {
  readonly path: string;
  readonly #directory: FileHandle | undefined;

  private constructor(path: string, directory?: FileHandle) {
    this.path = path;
    this.#directory = directory;
  }

  static async of(directory: string, name: string): Promise<Reach | undefined> {
    const path = join(directory, name);
    if (Buffer.byteLength(path) <= PATH_BYTES_MAX) return new Reach(path);
    if (platform !== 'linux') return undefined;
    const handle = await open(directory, 'r');
    return new Reach(`/proc/self/fd/${handle.fd}/${name}`, handle);
  }

  async close(): Promise<void> {
    await this.#directory?.close();
  }
}
