/** Statements on tables that somebody may have dropped while the program runs. */
import { StorageError } from '../contract.ts';

/** Calls once; on a schema failure it makes missing tables again, then passes the failure on. */
export type SchemaGuard = <T>(call: () => Promise<T>) => Promise<T>;

/** @param ensureSchema makes missing tables again */
export const createSchemaGuard =
  (ensureSchema: () => Promise<void>): SchemaGuard =>
  async (call) => {
    try {
      return await call();
    } catch (error) {
      if (error instanceof StorageError && error.failure === 'schema') await ensureSchema();
      throw error;
    }
  };
