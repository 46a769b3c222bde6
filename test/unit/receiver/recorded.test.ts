/** Requests as clients sent them, byte for byte: each must be acknowledged. */
import { readFileSync, readdirSync } from 'node:fs';
import { expect, test } from 'vitest';
import { RawClient, startServer, statuses } from '../http/test-server.ts';

const FOLDER = new URL('../../fixtures/http/', import.meta.url);
const files = readdirSync(FOLDER).filter((name) => name.endsWith('.http'));

test.each(files)('%s is answered 202', async (file) => {
  const { port } = await startServer();
  const client = new RawClient(port).write(readFileSync(new URL(file, FOLDER)));
  const received = await client.until(/\r\n\r\n/);
  expect(statuses(received)).toEqual([202]);
});
