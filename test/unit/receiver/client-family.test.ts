import { expect, test } from 'vitest';
import { ClientFamilies } from '../../../src/receiver/client-family.ts';

test.each([
  ['okhttp/4.9.3', 'okhttp'],
  ['Java-http-client/17.0.15', 'Java-http-client'],
  ['node-fetch/1.0 (+https://github.com/bitinn/node-fetch)', 'node-fetch'],
  ['Python/3.11 aiohttp/3.14.3', 'Python'],
  ['node', 'node'],
  [undefined, 'none'],
  ['', 'other'],
  ['"><script>', 'other'],
  ['a'.repeat(100), 'a'.repeat(40)],
])('the family of %s is %s', (userAgent, family) => {
  expect(new ClientFamilies().of(userAgent)).toBe(family);
});

test('more than 200 families are other ones, those known stay', () => {
  const families = new ClientFamilies();
  for (let i = 0; i < 200; i++) families.of(`client${i}`);
  expect(families.of('client200/1')).toBe('other');
  expect(families.of('client7/2')).toBe('client7');
});
