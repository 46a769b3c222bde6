/**
 * The engine of a process that was killed: it ends by itself as soon as it sees its parent gone,
 * unless it hangs or was stopped. It would keep its directory locked for as long.
 */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';

/** What tells an engine from any other process, and what it was started by. */
interface Running {
  readonly parent: number;
  readonly command: readonly string[];
}

/**
 * Ends the engine of this directory if the process that started it is gone. Only for the owner of
 * the data folder. Killing an engine at any time is safe.
 * @param config path of its engine.xml, as engine.ts starts it with; the next argument is the
 * process id of its parent
 * @returns the process id of what was ended
 */
export function endOrphan(dir: string, config: string): number | undefined {
  const pid = lockOwner(dir);
  if (pid === undefined) return undefined;
  const running = lookUp(pid);
  const at = running?.command.indexOf(config) ?? -1;
  if (running === undefined || at === -1) return undefined;
  if (Number(running.command[at + 1]) === running.parent) return undefined;
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return undefined;
  }
  return pid;
}

/** The engine that has the directory writes `PID: N` as the first line of its lock. */
export function lockOwner(dir: string): number | undefined {
  try {
    const pid = /^PID: (\d+)/.exec(readFileSync(join(dir, 'status'), 'utf8'))?.[1];
    return pid === undefined ? undefined : Number(pid);
  } catch {
    return undefined;
  }
}

function lookUp(pid: number): Running | undefined {
  try {
    if (process.platform === 'linux') {
      const command = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
      // `pid (name) state ppid …`, and the name may hold anything.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
      const parent = Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[1]);
      return { parent, command };
    }
    const text = execFileSync('/bin/ps', ['-o', 'ppid=,command=', '-p', String(pid)], {
      encoding: 'utf8',
    });
    const [parent = '', ...command] = text.trim().split(/\s+/);
    return { parent: Number(parent), command };
  } catch {
    return undefined;
  }
}
