/** Whose spans: the rules of the header `X-Scope-OrgID`, as in Grafana's own stores. */
import { CodedError } from '../base/errors.ts';

export const DEFAULT_TENANT = 'default';
const CHARACTERS_MAX = 150;
const ALLOWED = /^[A-Za-z0-9!._*'()-]+$/;

/**
 * @param tenant the value of the header
 * @throws {SCRUBJAY_ERR_TENANT_MISSING} {SCRUBJAY_ERR_TENANT_MALFORMED}
 */
export function tenantOf(tenant: string | undefined): string {
  if (tenant === undefined || tenant === '') throw new CodedError('SCRUBJAY_ERR_TENANT_MISSING');
  const named = tenant.length <= CHARACTERS_MAX && ALLOWED.test(tenant);
  if (!named || tenant === '.' || tenant === '..') {
    throw new CodedError('SCRUBJAY_ERR_TENANT_MALFORMED');
  }
  return tenant;
}
