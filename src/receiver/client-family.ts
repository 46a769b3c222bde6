/** The kind of client behind a User-Agent: `okhttp` of `okhttp/4.9.3`. A bounded vocabulary. */
const CHARS_MAX = 40;
const FAMILIES_MAX = 200;

export class ClientFamilies {
  readonly #families = new Set<string>();

  /** @returns the first product token without its version, `none` without a header, or `other` */
  of(userAgent: string | undefined): string {
    const family = /^[\w.+-]+/.exec(userAgent ?? '')?.[0].slice(0, CHARS_MAX);
    if (family === undefined) return userAgent === undefined ? 'none' : 'other';
    if (this.#families.has(family)) return family;
    // Whoever makes up names must not grow what counts by them.
    if (this.#families.size >= FAMILIES_MAX) return 'other';
    this.#families.add(family);
    return family;
  }
}
