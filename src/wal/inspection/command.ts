/** `scrubjay wal …`: looks into the log of a collector, which may be running, and mends it. */
import { readOnlyFiles, diskFiles } from '../files.ts';
import { ownerOf } from '../lock.ts';
import {
  inspect,
  type AsideReport,
  type Contents,
  type LogReport,
  type SegmentReport,
  type TenantsOf,
} from './inspect.ts';
import { openLogFolder } from './listing.ts';
import { retry, type Retried } from './retry.ts';
import { alignedTable, counted, shortBytes, type TableColumn } from './table.ts';
import { verify, type Verification } from './verify.ts';

export type LogAction = 'inspect' | 'verify' | 'retry';

export interface LogCommand {
  /** The folder of the log. */
  readonly dir: string;
  readonly action: LogAction;
  readonly json: boolean;
  readonly tenantsOf: TenantsOf;
}

export interface LogAnswer {
  /** For standard output. */
  readonly text: string;
  /** False: something is wrong with the log. */
  readonly ok: boolean;
}

/** @throws CodedError for an operator */
export async function runLogCommand(command: LogCommand): Promise<LogAnswer> {
  const { dir, action, json, tenantsOf } = command;
  const folder = await openLogFolder(readOnlyFiles, dir, ownerOf);
  const answer = <T>(value: T, describe: (value: T) => string, ok = true): LogAnswer => ({
    text: json ? `${JSON.stringify(value, undefined, 2)}\n` : describe(value),
    ok,
  });
  if (action === 'inspect') return answer(await inspect(folder, tenantsOf), describeLog);
  if (action === 'retry') return answer(await retry(diskFiles, dir), describeRetried);
  const verification = await verify(folder);
  return answer(verification, describeVerification, verification.problems.length === 0);
}

const NAMES_MAX = 3;

const CONTENTS: readonly TableColumn<Contents>[] = [
  { head: 'BLOCKS', right: true, of: ({ blocks }) => String(blocks) },
  { head: 'SPANS', right: true, of: ({ rows }) => String(rows) },
  { head: 'BYTES', right: true, of: ({ bytes }) => shortBytes(bytes) },
  { head: 'DAYS', of: daysOf },
  { head: 'ACKNOWLEDGED', of: ({ firstAppend, lastAppend }) => timesOf(firstAppend, lastAppend) },
  { head: 'TENANTS', of: ({ tenants }) => (tenants === null ? '' : shortList(tenants)) },
];

const SEGMENTS: readonly TableColumn<SegmentReport>[] = [
  { head: 'SEGMENT', of: ({ name }) => name },
  { head: 'STATE', of: ({ state }) => state },
  ...CONTENTS,
];

const ASIDE: readonly TableColumn<AsideReport>[] = [
  { head: 'SET ASIDE', of: ({ name }) => name },
  ...CONTENTS,
  { head: 'WHY', of: ({ why }) => (why === null ? 'not known' : `${why.kind}: ${why.text}`) },
];

function describeLog({ dir, owner, segments, aside }: LogReport): string {
  const waiting = segments.filter(({ state }) => state !== 'sent' && state !== 'ready');
  const rows = waiting.reduce((sum, segment) => sum + segment.rows, 0);
  const bytes = waiting.reduce((sum, segment) => sum + segment.bytes, 0);
  const parts = [
    `${dir}: ${ownerText(owner)}; ${counted(rows, 'span')} (${shortBytes(bytes)}) in ` +
      `${counted(waiting.length, 'segment')} not yet known to be in storage\n`,
  ];
  if (segments.length > 0) parts.push(alignedTable(SEGMENTS, segments));
  if (aside.length > 0) {
    const advice =
      'What was refused goes back into the log by `scrubjay wal retry`, once its cause is mended ' +
      'and the collector is stopped\n';
    parts.push(alignedTable(ASIDE, aside), advice);
  }
  return parts.join('\n');
}

const ownerText = (owner: number | null): string =>
  owner === null ? 'no collector runs on it' : `process ${owner} runs on it`;

function daysOf({ firstDay, lastDay, days }: Contents): string {
  if (firstDay === null || lastDay === null) return '';
  return firstDay === lastDay ? firstDay : `${firstDay}..${lastDay} (${days})`;
}

function timesOf(first: string | null, last: string | null): string {
  if (first === null || last === null) return '';
  const [day, time] = first.split('T');
  const [lastDay, lastTime] = last.split('T');
  return `${day} ${time}..${lastDay === day ? '' : `${lastDay} `}${lastTime}`;
}

const shortList = (texts: readonly string[]): string =>
  texts.length <= NAMES_MAX
    ? texts.join(' ')
    : `${texts.slice(0, NAMES_MAX).join(' ')} and ${texts.length - NAMES_MAX} more`;

function describeVerification(verification: Verification): string {
  const { dir, segments, blocks, bytes, problems, remarks } = verification;
  const findings = problems.map(({ file, text }) => `${file}: ${text}\n`);
  const notes = remarks.map(({ file, text }) => `${file}: ${text} (no damage)\n`);
  const what = `${counted(blocks, 'block')} (${shortBytes(bytes)})`;
  const sum = `${what} in ${counted(segments, 'segment')}`;
  const end =
    problems.length === 0
      ? 'is well\n'
      : `are well; ${counted(problems.length, 'problem')} above. The next start delivers what is ` +
        'whole and moves the rest to corrupt/\n';
  return [...findings, ...notes, `${dir}: ${sum} ${end}`].join('');
}

function describeRetried({ dir, moved, left }: Retried): string {
  const rows = moved.reduce((sum, segment) => sum + segment.rows, 0);
  const lines = moved.map(({ name, rows: own }) => `${name}: ${counted(own, 'span')}, put back\n`);
  const stays = left.map(({ name, why }) => `${name}: stays in corrupt/, ${why}\n`);
  const end =
    moved.length === 0
      ? `${dir}: nothing to be put back\n`
      : `${dir}: ${counted(rows, 'span')} put back; start the collector to insert them\n`;
  return [...lines, ...stays, end].join('');
}
