/** Opens the port, and says what to do when that fails. */
import { CodedError } from '../base/errors.ts';
import type { HttpServer } from './server.ts';

/** @returns the port it listens on @throws {SCRUBJAY_ERR_START} */
export async function listen(http: HttpServer, port: number): Promise<number> {
  try {
    return await http.listen();
  } catch (error) {
    const code = error instanceof Error && 'code' in error ? error.code : undefined;
    if (code !== 'EADDRINUSE' && code !== 'EACCES') throw error;
    const why = code === 'EADDRINUSE' ? 'is taken: stop what listens there' : 'may not be used';
    const detail = `Port ${port} ${why}, or set QUERY_PORT to another one`;
    throw new CodedError('SCRUBJAY_ERR_START', { detail }, { cause: error });
  }
}
