import { describe, expect, test } from 'vitest';
import { FairTurns } from '../../../src/receiver/fair-turns.ts';

const MIB = 1024 ** 2;

/** Messages in the order in which they had their turn; rounds of the event loop by hand. */
function queue() {
  const rounds: (() => void)[] = [];
  const turns = new FairTurns((run) => rounds.push(run));
  const order: string[] = [];
  const send = (tenant: string, name: string, bytes: number): void => {
    const turn = turns.turn(tenant, bytes);
    if (turn === undefined) order.push(name);
    else void turn.then(() => order.push(name));
  };
  const round = async (): Promise<void> => {
    rounds.shift()?.();
    await Promise.resolve();
  };
  return { order, send, round, rounds };
}

describe('FairTurns', () => {
  test('lets messages through at once as long as a round is not full', async () => {
    const { order, send, round, rounds } = queue();
    for (const name of ['1', '2', '3', '4']) send('a', name, MIB / 4);
    expect(order).toEqual(['1', '2', '3', '4']);
    send('a', '5', 1);
    expect(order).toHaveLength(4);
    await round();
    expect(order).toEqual(['1', '2', '3', '4', '5']);
    await round();
    expect(rounds).toEqual([]);
  });

  test('serves the neighbour of a flood in the next round', async () => {
    const { order, send, round } = queue();
    for (let n = 0; n < 100; n++) send('flood', `f${n}`, MIB / 2);
    send('small', 's', 1000);
    expect(order).toEqual(['f0', 'f1']);
    await round();
    expect(order).toEqual(['f0', 'f1', 's', 'f2', 'f3']);
  });

  test('shares by bytes, not by messages', async () => {
    const { order, send, round, rounds } = queue();
    for (let n = 0; n < 8; n++) send('large', 'L', MIB / 2);
    for (let n = 0; n < 40; n++) send('small', 's', MIB / 16);
    while (order.length < 30) await round();
    const bytes = (name: string, size: number): number =>
      order.filter((other) => other === name).length * size;
    expect(Math.abs(bytes('L', MIB / 2) - bytes('s', MIB / 16))).toBeLessThanOrEqual(MIB);
    while (rounds.length > 0) await round();
    expect(order.toSorted().join('')).toBe('L'.repeat(8) + 's'.repeat(40));
  });

  test('does not repay a tenant for the time in which it sent nothing', async () => {
    const { order, send, round } = queue();
    send('late', 'x', 1);
    for (let n = 0; n < 40; n++) send('flood', 'f', MIB / 2);
    for (let n = 0; n < 10; n++) await round();
    for (let n = 0; n < 10; n++) send('late', 'l', MIB / 2);
    const before = order.length;
    for (let n = 0; n < 4; n++) await round();
    const since = order.slice(before);
    expect(since.filter((name) => name === 'l').length).toBe(4);
    expect(since.filter((name) => name === 'f').length).toBe(4);
  });
});
