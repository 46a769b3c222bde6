/**
 * Names of the log's files and what a batch id is made of.
 *
 *   name   = "seg-" id [ "-of-" id ] [ "-r" rewrite ] kind
 *   id     = epoch "-" number              4 and 8 hex digits
 *   kind   = ".native"                     the appended bytes
 *          | ".idx"  [ "." records ]       the side file of a segment not yet in storage
 *          | ".sent" [ "." records ]       its side file once the rows are in storage
 *
 * "-of-" names the segment that this one is a part of: it counts from the moment that the other
 * has no ".idx" any more, so one rename puts all parts in its place.
 * `rewrite` counts how often recovery wrote the segment anew without its bad blocks. `records`:
 * only the first so many records count, because a later write failed. State that must change
 * when the disk is full or refuses to sync is in the name: a rename needs neither.
 */
const ID = '([0-9a-f]{4})-([0-9a-f]{8})';
const NAME = new RegExp(
  String.raw`^seg-${ID}(?:-of-${ID})?(?:-r(\d{1,4}))?\.(native|idx|sent)(?:\.(\d{1,9}))?$`,
);

export type FileKind = 'native' | 'idx' | 'sent';

/** No two segments of a folder have both in common. */
export interface SegmentId {
  readonly epoch: number;
  readonly number: number;
}

export interface SegmentName extends SegmentId {
  readonly name: string;
  /** The segment that this is a part of. */
  readonly parent: SegmentId | undefined;
  readonly rewrite: number;
  readonly kind: FileKind;
  /** Undefined: all records count. */
  readonly recordsMax: number | undefined;
}

export function parseName(name: string): SegmentName | undefined {
  const match = NAME.exec(name);
  if (match === null) return undefined;
  const [, epoch = '', number = '', ofEpoch, ofNumber, rewrite, kind, records] = match;
  return {
    name,
    ...idOf(epoch, number),
    parent: ofEpoch === undefined || ofNumber === undefined ? undefined : idOf(ofEpoch, ofNumber),
    rewrite: Number(rewrite ?? 0),
    kind: kind as FileKind,
    recordsMax: records === undefined ? undefined : Number(records),
  };
}

const idOf = (epoch: string, number: string): SegmentId => ({
  epoch: Number.parseInt(epoch, 16),
  number: Number.parseInt(number, 16),
});

export const idText = ({ epoch, number }: SegmentId): string =>
  `${hex(epoch, 4)}-${hex(number, 8)}`;

export function stemOf(id: SegmentId, parent?: SegmentId, rewrite = 0): string {
  const part = parent === undefined ? '' : `-of-${idText(parent)}`;
  return `seg-${idText(id)}${part}${rewrite === 0 ? '' : `-r${rewrite}`}`;
}

const hex = (value: number, digits: number): string => value.toString(16).padStart(digits, '0');

export function sideName(
  stem: string,
  kind: 'idx' | 'sent',
  recordsMax: number | undefined,
): string {
  return `${stem}.${kind}${recordsMax === undefined ? '' : `.${recordsMax}`}`;
}

/** node 16 bit, epoch 16 bit, number 32 bit: the value of `_batch` of every row of the segment. */
export const batchOf = (node: number, epoch: number, number: number): bigint =>
  (BigInt(node) << 48n) | (BigInt(epoch) << 32n) | BigInt(number);

/** True when the batch id in a side file's header is the one that the file's name promises. */
export const namesBatch = (name: SegmentName, batch: bigint): boolean =>
  (batch & 0xffff_ffff_ffffn) === batchOf(0, name.epoch, name.number);

/** The segment of a batch id. */
export const idOfBatch = (batch: bigint): SegmentId => ({
  epoch: Number((batch >> 32n) & 0xffffn),
  number: Number(batch & 0xffff_ffffn),
});
