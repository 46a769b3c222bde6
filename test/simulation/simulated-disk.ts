/**
 * A disk that is as mean as POSIX allows. What was not synced may be lost, each write and each
 * folder entry on its own; writes tear at sectors; any operation can fail or be the last one before
 * the process dies. Deterministic for a given `random`.
 */
import { dirname } from 'node:path';
import { CodedError } from '../../src/base/errors.ts';
import type { WalFile, WalFiles } from '../../src/wal/files.ts';

const SECTOR_BYTES = 64;

type Change = { readonly at: number; readonly bytes: Uint8Array } | { readonly size: number };

class Content {
  bytes = new Uint8Array(0);
  size = 0;

  apply(change: Change): void {
    if ('size' in change) {
      this.#reserve(change.size);
      if (change.size < this.size) this.bytes.fill(0, change.size, this.size);
      this.size = change.size;
      return;
    }
    const end = change.at + change.bytes.byteLength;
    this.#reserve(end);
    this.bytes.set(change.bytes, change.at);
    this.size = Math.max(this.size, end);
  }

  clone(): Content {
    const copy = new Content();
    copy.bytes = this.bytes.slice();
    copy.size = this.size;
    return copy;
  }

  #reserve(size: number): void {
    if (size <= this.bytes.byteLength) return;
    const grown = new Uint8Array(Math.max(size, this.bytes.byteLength * 2));
    grown.set(this.bytes.subarray(0, this.size));
    this.bytes = grown;
  }
}

class Inode {
  live = new Content();
  durable = new Content();
  pending: Change[] = [];
}

/** `from` undefined: a creation; `to` undefined: a removal. */
interface EntryChange {
  readonly from: string | undefined;
  readonly to: string | undefined;
  readonly inode: Inode;
}

export type Operation =
  | 'write'
  | 'read'
  | 'truncate'
  | 'datasync'
  | 'create'
  | 'open'
  | 'rename'
  | 'remove'
  | 'syncDirectory';

export interface Fault {
  readonly code: string;
  /** For a write or datasync: bytes reach the disk all the same. */
  readonly applied: boolean;
}

export class SimulatedDisk {
  /** Decides before each operation whether it fails. */
  fault: (operation: Operation, path: string) => Fault | undefined = () => undefined;
  capacityBytes = Number.POSITIVE_INFINITY;
  /** Operations until the process dies in the middle of one. */
  killAfter = Number.POSITIVE_INFINITY;
  /** Which operations count for that; undefined: all. */
  killAt: Operation | undefined;
  operations = 0;
  readonly #random: () => number;
  readonly #turn: (operation: Operation) => Promise<void>;
  #entries = new Map<string, Inode>();
  #durableEntries = new Map<string, Inode>();
  #pendingEntries: EntryChange[] = [];
  #directories = new Set<string>();
  #boot = 0;
  #locked = false;
  #onKilled: () => void = () => undefined;
  killed: Promise<void>;

  /** @param turn what an operation waits for before it happens; some turns of the queue */
  constructor(random: () => number, turn?: (operation: Operation) => Promise<void>) {
    this.#random = random;
    this.#turn = turn ?? (() => this.#fewTurns());
    this.killed = this.#nextDeath();
  }

  /** The process is gone, the system lives: all that was written stays. */
  kill(): void {
    this.#reboot();
  }

  /** What was not synced is lost or not, as chance has it. */
  powerCut(): void {
    const entries = new Map(this.#durableEntries);
    for (const change of this.#pendingEntries) {
      if (this.#random() < 0.5) continue;
      const present = change.from === undefined || entries.get(change.from) === change.inode;
      if (!present) continue;
      if (change.from !== undefined) entries.delete(change.from);
      if (change.to !== undefined) entries.set(change.to, change.inode);
    }
    this.#entries = entries;
    this.#durableEntries = new Map(entries);
    this.#pendingEntries = [];
    for (const inode of new Set(entries.values())) this.#loseUnsynced(inode);
    this.#reboot();
  }

  /** Paths of all files. */
  paths(): string[] {
    return [...this.#entries.keys()].toSorted();
  }

  content(path: string): Buffer {
    const { bytes, size } = this.#inode(path).live;
    return Buffer.from(bytes.slice(0, size));
  }

  usedBytes(): number {
    let used = 0;
    for (const inode of this.#entries.values()) used += inode.live.size;
    return used;
  }

  /** Puts a file there, synced, whatever was there before. */
  put(path: string, bytes: Uint8Array): void {
    const inode = new Inode();
    inode.live.apply({ at: 0, bytes });
    inode.durable = inode.live.clone();
    this.#entries.set(path, inode);
    this.#durableEntries.set(path, inode);
  }

  delete(path: string): void {
    this.#entries.delete(path);
    this.#durableEntries.delete(path);
  }

  files(): WalFiles {
    const boot = this.#boot;
    const step = async <T>(operation: Operation, path: string, run: () => T): Promise<T> => {
      await this.#admit(boot, operation, path);
      return run();
    };
    return {
      makeDirectory: async (path) => {
        this.#directories.add(path);
      },
      list: async (directory) => {
        if (!this.#directories.has(directory)) throw problem('ENOENT');
        const inside = this.paths().filter((path) => dirname(path) === directory);
        return inside.map((path) => path.slice(directory.length + 1));
      },
      create: (path) =>
        step('create', path, () => {
          if (this.#entries.has(path)) throw problem('EEXIST');
          const inode = new Inode();
          this.#change({ from: undefined, to: path, inode });
          return this.#file(boot, path, inode);
        }),
      open: (path) => step('open', path, () => this.#file(boot, path, this.#inode(path))),
      rename: (from, to) =>
        step('rename', from, () => {
          this.#change({ from, to, inode: this.#inode(from) });
        }),
      remove: (path) =>
        step('remove', path, () => {
          this.#change({ from: path, to: undefined, inode: this.#inode(path) });
        }),
      syncDirectory: (path) =>
        step('syncDirectory', path, () => {
          this.#syncDirectory(path);
        }),
      freeBytes: async () => Math.max(0, Math.min(this.capacityBytes, 1e15) - this.usedBytes()),
      lock: async (directory) => {
        const detail = `Data folder ${directory} is in use by process 1`;
        if (this.#locked) throw new CodedError('SCRUBJAY_ERR_START', { detail });
        this.#locked = true;
        return async () => {
          if (boot === this.#boot) this.#locked = false;
        };
      },
    };
  }

  #file(boot: number, path: string, inode: Inode): WalFile {
    const at = async (operation: Operation): Promise<void> => {
      await this.#admit(boot, operation, path, inode);
    };
    return {
      write: async (chunks, position) => {
        const whole = Buffer.concat(chunks);
        // A short write now and then; the rest must be asked for again.
        const isShort = whole.byteLength > 1 && this.#random() < 0.1;
        const bytes = isShort
          ? whole.subarray(0, 1 + Math.floor(this.#random() * (whole.byteLength - 1)))
          : whole;
        await this.#admit(boot, 'write', path, inode, { at: position, bytes });
        const grown = Math.max(0, position + bytes.byteLength - inode.live.size);
        if (this.usedBytes() + grown > this.capacityBytes) throw problem('ENOSPC');
        this.#write(inode, { at: position, bytes });
        return bytes.byteLength;
      },
      read: async (into, position) => {
        await at('read');
        const { bytes, size } = inode.live;
        const end = Math.min(size, position + into.byteLength);
        into.set(bytes.subarray(Math.min(position, end), end));
        return Math.max(0, end - position);
      },
      truncate: async (size) => {
        await at('truncate');
        this.#write(inode, { size });
      },
      datasync: async () => {
        await at('datasync');
        for (const change of inode.pending) inode.durable.apply(change);
        inode.pending = [];
      },
      size: async () => inode.live.size,
      close: async () => undefined,
    };
  }

  async #admit(
    boot: number,
    operation: Operation,
    path: string,
    inode?: Inode,
    change?: { at: number; bytes: Uint8Array },
  ): Promise<void> {
    if (boot !== this.#boot) await never();
    await this.#turn(operation);
    if (boot !== this.#boot) await never();
    this.operations++;
    if (this.#isLast(operation)) {
      if (inode !== undefined && change !== undefined) this.#tear(inode, change);
      this.#onKilled();
      await never();
    }
    const fault = this.fault(operation, path);
    if (fault === undefined) return;
    if (inode !== undefined && change !== undefined) {
      if (fault.applied) this.#write(inode, { at: change.at, bytes: change.bytes.slice() });
      else this.#tear(inode, change);
    }
    if (operation === 'datasync' && inode !== undefined) {
      // The kernel drops dirty pages after a failed sync: what was not written is gone or not.
      for (const lost of inode.pending) if (fault.applied) inode.durable.apply(lost);
      inode.pending = [];
    }
    throw problem(fault.code);
  }

  /** So that what runs at the same time interleaves. */
  async #fewTurns(): Promise<void> {
    for (let turn = Math.floor(this.#random() * 3); turn >= 0; turn--) await Promise.resolve();
  }

  #isLast(operation: Operation): boolean {
    return (this.killAt ?? operation) === operation && --this.killAfter <= 0;
  }

  #write(inode: Inode, change: Change): void {
    inode.live.apply(change);
    inode.pending.push(change);
  }

  #tear(inode: Inode, { at, bytes }: { at: number; bytes: Uint8Array }): void {
    for (let from = 0; from < bytes.byteLength; from += SECTOR_BYTES) {
      if (this.#random() < 0.5) continue;
      const part = bytes.slice(from, from + Math.ceil(this.#random() * SECTOR_BYTES));
      this.#write(inode, { at: at + from, bytes: part });
    }
  }

  #loseUnsynced(inode: Inode): void {
    const { pending } = inode;
    inode.pending = [];
    inode.live = inode.durable;
    for (const change of pending) {
      const chance = this.#random();
      if (chance < 0.4) this.#write(inode, change);
      else if (chance < 0.7 && 'at' in change) this.#tear(inode, change);
    }
    inode.durable = inode.live.clone();
    inode.pending = [];
  }

  #change(change: EntryChange): void {
    if (change.from !== undefined) this.#entries.delete(change.from);
    if (change.to !== undefined) this.#entries.set(change.to, change.inode);
    this.#pendingEntries.push(change);
  }

  #syncDirectory(path: string): void {
    const inside = (name: string | undefined): boolean =>
      name !== undefined && dirname(name) === path;
    const rest: EntryChange[] = [];
    for (const change of this.#pendingEntries) {
      if (!inside(change.from) && !inside(change.to)) {
        rest.push(change);
        continue;
      }
      if (change.from !== undefined) this.#durableEntries.delete(change.from);
      if (change.to !== undefined) this.#durableEntries.set(change.to, change.inode);
    }
    this.#pendingEntries = rest;
  }

  #inode(path: string): Inode {
    const inode = this.#entries.get(path);
    if (inode === undefined) throw problem('ENOENT');
    return inode;
  }

  #reboot(): void {
    this.#boot++;
    this.#locked = false;
    this.killAfter = Number.POSITIVE_INFINITY;
    this.killAt = undefined;
    this.fault = () => undefined;
    this.killed = this.#nextDeath();
  }

  #nextDeath(): Promise<void> {
    return new Promise((resolve) => {
      this.#onKilled = resolve;
    });
  }
}

const problem = (code: string): Error => Object.assign(new Error(code), { code });
const never = (): Promise<never> => new Promise(() => undefined);
