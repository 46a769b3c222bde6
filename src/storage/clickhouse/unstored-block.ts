/** A block of the log, read as far as somebody looks at it. */
import {
  ArrayValues,
  DictionaryValues,
  FixedValues,
  NativeReader,
  StringValues,
  readColumn,
  type Values,
} from './native-layout.ts';

/** @throws Error when it is no block of spans: the log holds what a BlockEncoder made */
export class UnstoredBlock {
  readonly rows: number;
  readonly #bytes: Buffer;
  readonly #reader: NativeReader;
  readonly #columns = new Map<string, Values>();
  #unread: number;

  constructor(bytes: Buffer) {
    this.#bytes = bytes;
    this.#reader = new NativeReader(bytes);
    this.#unread = this.#reader.varuint();
    this.rows = this.#reader.varuint();
  }

  /** Whether the bytes are anywhere in it: cheaper to say than to read what is in front. */
  mayHold(bytes: Buffer): boolean {
    return this.#bytes.includes(bytes);
  }

  /** Reads on to that column; those in front are cheap, tags and what follows them are not. */
  column(name: string): Values {
    for (;;) {
      const known = this.#columns.get(name);
      if (known !== undefined) return known;
      if (this.#unread-- === 0) throw new Error(`a block without ${name}`);
      const next = this.#reader.text();
      const type = this.#reader.text();
      this.#columns.set(next, readColumn(this.#reader, type, this.rows));
    }
  }

  fixed(name: string): Buffer {
    return cast(this.column(name), FixedValues).bytes;
  }

  texts(name: string): DictionaryValues {
    return cast(this.column(name), DictionaryValues);
  }

  /** Array(LowCardinality(String)), or a Map with such keys. */
  lists(name: string): { lists: ArrayValues; keys: DictionaryValues } {
    const lists = cast(this.column(name), ArrayValues);
    return { lists, keys: cast(lists.elements[0], DictionaryValues) };
  }

  /** The values of a Map of texts. */
  valuesOf({ elements }: ArrayValues): StringValues {
    return cast(elements[1], StringValues);
  }
}

function cast<T>(values: unknown, type: new (...args: never[]) => T): T {
  if (!(values instanceof type)) throw new Error('a column of another type');
  return values;
}
