/** Storage and log as components of GET /health. */
import type { HealthComponent } from './health.ts';

interface StorageLike {
  health(): { readonly state: string; readonly name: string; readonly error?: string };
}

interface LogLike {
  /** Why it takes nothing now. */
  admit(): Error | undefined;
  state(): { readonly state: string };
}

/** A storage that is away keeps the node in rotation: the log takes what comes. */
export function storageHealth(storage: StorageLike): HealthComponent {
  const { state, name, error } = storage.health();
  const status = state === 'up' ? 'UP' : 'DOWN';
  return { name, status, essential: false, ...(error === undefined ? {} : { error }) };
}

export function logHealth(wal: LogLike): HealthComponent {
  const refusal = wal.admit();
  const { state } = wal.state();
  const name = 'Log';
  if (refusal !== undefined)
    return { name, status: 'DOWN', error: refusal.message, essential: true };
  if (state === 'ok') return { name, status: 'UP', essential: true };
  return { name, status: 'UP', error: `state ${state}: storage does not keep up`, essential: true };
}
