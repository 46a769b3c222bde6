/** JSON for people, as Jackson's pretty printer in Zipkin's server writes it. */

export type Json = string | number | boolean | null | { readonly [name: string]: Json };

/** Two spaces a level, and one on each side of the colon. */
export function prettyJson(value: Json, indent = ''): string {
  if (typeof value !== 'object' || value === null) return JSON.stringify(value);
  const inner = `${indent}  `;
  const members = Object.entries(value).map(
    ([name, member]) => `${inner}${JSON.stringify(name)} : ${prettyJson(member, inner)}`,
  );
  return members.length === 0 ? '{ }' : `{\n${members.join(',\n')}\n${indent}}`;
}
