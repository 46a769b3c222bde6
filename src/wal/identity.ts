/**
 * Who writes this log: `node.json` holds a node id, drawn once, and an epoch that every start
 * raises and syncs before it writes anything else, so that no two starts give out one batch id.
 */
import { join } from 'node:path';
import { CodedError } from '../base/errors.ts';
import type { Logger } from '../telemetry/logger.ts';
import { isMissing, readSmall, removeIfThere, writeSmall, type WalFiles } from './files.ts';

const EPOCHS = 65_536;
const NAME = 'node.json';

export interface Identity {
  /** 0 to 65,535. */
  readonly node: number;
  /** 0 to 65,535. */
  readonly epoch: number;
}

export interface IdentitySource {
  readonly files: WalFiles;
  readonly dir: string;
  readonly logger: Logger;
  /** In [0, 1). */
  readonly random: () => number;
}

/**
 * The identity of this start, durable when resolved.
 * @param taken epochs of which files exist: never given out again
 * @throws {SCRUBJAY_ERR_START} when every epoch is taken
 */
export async function raiseEpoch(
  source: IdentitySource,
  taken: ReadonlySet<number>,
): Promise<Identity> {
  if (taken.size >= EPOCHS) {
    throw new CodedError('SCRUBJAY_ERR_START', {
      detail: `Data folder ${source.dir} holds log files of all ${EPOCHS} epochs: empty corrupt/`,
    });
  }
  const before = await readIdentity(source);
  const identity = successor(before, taken, source.random);
  await writeIdentity(source, identity);
  return identity;
}

function successor(
  before: Identity | undefined,
  taken: ReadonlySet<number>,
  random: () => number,
): Identity {
  const draw = (): number => Math.floor(random() * EPOCHS);
  let epoch = before === undefined ? draw() : (before.epoch + 1) % EPOCHS;
  while (taken.has(epoch)) epoch = (epoch + 1) % EPOCHS;
  if (before === undefined) return { node: draw(), epoch };
  // Rows of the first round of epochs may still be in storage: another node id keeps them apart.
  const wrapped = epoch <= before.epoch;
  return {
    node: wrapped ? (before.node + 1 + (draw() % (EPOCHS - 1))) % EPOCHS : before.node,
    epoch,
  };
}

/** The identity of the latest start; undefined when there is none to be read. */
export async function readIdentity({
  files,
  dir,
  logger,
}: {
  readonly files: Pick<WalFiles, 'open'>;
  readonly dir: string;
  readonly logger?: Logger;
}): Promise<Identity | undefined> {
  let text: string;
  try {
    text = (await readSmall(files, join(dir, NAME), 4096)).toString('utf8');
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
  const identity = parseIdentity(text);
  if (identity === undefined) {
    logger?.warn({ file: NAME }, 'node.json is damaged: drawing a new node id');
  }
  return identity;
}

function parseIdentity(text: string): Identity | undefined {
  try {
    const value: unknown = JSON.parse(text);
    if (typeof value !== 'object' || value === null) return undefined;
    if (!('node' in value) || !('epoch' in value)) return undefined;
    const { node, epoch } = value;
    return isUint16(node) && isUint16(epoch) ? { node, epoch } : undefined;
  } catch {
    return undefined;
  }
}

const isUint16 = (value: unknown): value is number =>
  typeof value === 'number' && Number.isInteger(value) && value >= 0 && value < EPOCHS;

async function writeIdentity({ files, dir }: IdentitySource, identity: Identity): Promise<void> {
  const path = join(dir, NAME);
  const draft = `${path}.tmp`;
  await removeIfThere(files, draft);
  await writeSmall(files, draft, `${JSON.stringify(identity)}\n`);
  await files.rename(draft, path);
  await files.syncDirectory(dir);
}
