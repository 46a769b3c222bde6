/** Settings of the log. Disk use is bounded by two of them; the tighter one binds. */
import { bytes, durationMs, integer, type SettingValues } from '../base/settings.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const GIB = 1024 * MIB;

/** Inside the folder of SCRUBJAY_DATA_DIR. */
export const LOG_FOLDER = 'wal';

export const walSettings = {
  segmentRowsMax: integer({
    env: 'SCRUBJAY_WAL_SEGMENT_ROWS',
    default: 200_000,
    min: 1,
    max: 4_000_000_000,
    unit: 'rows',
    doc: 'A log segment is closed and inserted when it holds this many spans.',
  }),
  segmentBytesMax: bytes({
    env: 'SCRUBJAY_WAL_SEGMENT_BYTES',
    default: 64 * MIB,
    min: 4 * KIB,
    max: 2 * GIB,
    doc: 'A log segment is closed and inserted when it holds this many bytes.',
  }),
  segmentAgeMs: durationMs({
    env: 'SCRUBJAY_WAL_SEGMENT_AGE',
    default: 1000,
    min: 1,
    max: 3_600_000,
    doc: 'A log segment is closed and inserted this long after its first span.',
  }),
  walBytesMax: bytes({
    env: 'SCRUBJAY_WAL_MAX_BYTES',
    default: 8 * GIB,
    min: 4 * KIB,
    doc: 'Spans waiting for storage may take this much disk; then ingest answers 503.',
  }),
  freeBytesMin: bytes({
    env: 'SCRUBJAY_WAL_MIN_FREE_BYTES',
    default: GIB,
    doc: 'Ingest answers 503 when less than this is free on the disk of the log.',
  }),
  notesKeptMs: durationMs({
    env: 'SCRUBJAY_DEDUP_WINDOW',
    default: 600_000,
    doc: 'A body that was acknowledged within this time is not stored a second time.',
  }),
};

export type WalConfig = SettingValues<typeof walSettings>;
