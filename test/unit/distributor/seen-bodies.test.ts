import { randomBytes } from 'node:crypto';
import { describe, expect, test } from 'vitest';
import { SeenBodies, noteOf } from '../../../src/distributor/seen-bodies.ts';

const note = (text: string, spans = 1, tenant = ''): Buffer => {
  const bytes = noteOf(tenant, Buffer.from(text));
  bytes.writeUInt32LE(spans, 16);
  return bytes;
};

describe('SeenBodies', () => {
  test('knows how many spans a body had, for at least the window', () => {
    const seen = new SeenBodies(1000);
    seen.add(note('a', 7), 0);
    expect([seen.find(note('a'), 0), seen.find(note('a'), 999), seen.find(note('b'), 0)]).toEqual([
      7, 7, -1,
    ]);
    expect(seen.find(note('a'), 1500)).toBe(7);
    expect(seen.find(note('a'), 2500)).toBe(-1);
  });

  test('keeps tenants apart', () => {
    const seen = new SeenBodies(1000);
    seen.add(note('a', 1, 'x'), 0);
    expect([
      seen.find(note('a', 1, 'x'), 0),
      seen.find(note('a', 1, 'y'), 0),
      seen.find(note('a'), 0),
    ]).toEqual([1, -1, -1]);
  });

  test('holds many bodies exactly', () => {
    const seen = new SeenBodies(1000);
    const notes = Array.from({ length: 20_000 }, (_, i) => note(randomBytes(8).toString('hex'), i));
    for (const n of notes) seen.add(n, 0);
    expect(notes.every((n, i) => seen.find(n, 1) === i)).toBe(true);
  });

  test('recovers what the log remembers', () => {
    const seen = new SeenBodies(1000);
    seen.recover(Buffer.concat([note('a', 3), note('b', 5)]), 0);
    expect([seen.find(note('a'), 0), seen.find(note('b'), 0)]).toEqual([3, 5]);
  });

  test('counts a body as seen when its rows are durable, and not when they are not', async () => {
    const seen = new SeenBodies(1000);
    seen.begin(note('a', 2), Promise.resolve(), 0);
    const failed = Promise.reject(new Error('disk'));
    seen.begin(note('b', 2), failed, 0);
    expect(await Promise.all([seen.underWay(note('a')), seen.underWay(note('b'))])).toEqual([
      true,
      false,
    ]);
    await Promise.resolve();
    expect([seen.find(note('a'), 0), seen.find(note('b'), 0), seen.underWay(note('a'))]).toEqual([
      2,
      -1,
      undefined,
    ]);
  });
});
