/**
 * The one table of errors that leave a module: code, message, HTTP status, retryable. Nothing else
 * is thrown on purpose. A message says what, the actual value, the limit and the setting that
 * raises it; `{name}` is filled from the parameters. Codes are never reused once released.
 */
export const ERRORS = {
  SCRUBJAY_ERR_CONFIG: { status: 500, retryable: false, text: '{detail}' },
  SCRUBJAY_ERR_BODY_TOO_LARGE: {
    status: 413,
    retryable: false,
    text: 'Body of {actual} bytes: limit {limit} bytes (SCRUBJAY_INGEST_MAX_BODY_BYTES)',
  },
  SCRUBJAY_ERR_INFLATED_TOO_LARGE: {
    status: 413,
    retryable: false,
    text: 'Inflated body: limit {limit} bytes (SCRUBJAY_INGEST_MAX_INFLATED_BYTES)',
  },
  SCRUBJAY_ERR_GUNZIP: { status: 400, retryable: false, text: 'Cannot gunzip spans' },
  SCRUBJAY_ERR_INFLATE: { status: 400, retryable: false, text: 'Cannot inflate spans: {encoding}' },
  SCRUBJAY_ERR_ENCODING: {
    status: 400,
    retryable: false,
    text: 'Content-Encoding {encoding} is not supported: use gzip, deflate, br or identity',
  },
  SCRUBJAY_ERR_BODY_ABORTED: { status: 400, retryable: true, text: 'The body ended early' },
  SCRUBJAY_ERR_FORMAT: { status: 400, retryable: false, text: '{detail}' },
  SCRUBJAY_ERR_TENANT_MISSING: {
    status: 401,
    retryable: false,
    text: 'X-Scope-OrgID is missing: SCRUBJAY_TENANCY=header asks for it',
  },
  SCRUBJAY_ERR_TENANT_MALFORMED: {
    status: 400,
    retryable: false,
    text: "X-Scope-OrgID must be 1 to 150 characters of A-Z a-z 0-9 !._*'()- and not . or ..",
  },
  SCRUBJAY_ERR_RATE_LIMITED: {
    status: 429,
    retryable: true,
    text: 'Tenant {tenant} sends over {limit} {what} a second ({setting}): wait {seconds} s',
  },
  SCRUBJAY_ERR_OVERLOADED: {
    status: 503,
    retryable: true,
    text: '{what} in flight: {actual}, limit {limit} ({setting})',
  },
  SCRUBJAY_ERR_DRAINING: {
    status: 503,
    retryable: true,
    text: 'Shutting down: send to another collector',
  },
  SCRUBJAY_ERR_WAL_FULL: {
    status: 503,
    retryable: true,
    text: 'The log holds {actual} bytes, limit {limit} ({setting}): storage is slow or away',
  },
  SCRUBJAY_ERR_WAL_FAILED: {
    status: 503,
    retryable: true,
    text: 'The log cannot be written ({cause}): check the disk of SCRUBJAY_DATA_DIR',
  },
  SCRUBJAY_ERR_STORAGE_UNAVAILABLE: {
    status: 503,
    retryable: true,
    text: 'Storage is unavailable: {cause}',
  },
  SCRUBJAY_ERR_STORAGE: {
    status: 500,
    retryable: true,
    text: 'Storage failed to answer (code {code})',
  },
  SCRUBJAY_ERR_QUERY_TIMEOUT: {
    status: 500,
    retryable: true,
    text: 'The query ran longer than {limit} ms (QUERY_TIMEOUT)',
  },
  SCRUBJAY_ERR_QUERY_TOO_LARGE: {
    status: 422,
    retryable: false,
    text: 'The query needs more memory than it may use: narrow the time range or the limit',
  },
  SCRUBJAY_ERR_BAD_QUERY: { status: 400, retryable: false, text: '{detail}' },
  SCRUBJAY_ERR_NOT_FOUND: { status: 404, retryable: false, text: '{detail}' },
  SCRUBJAY_ERR_START: { status: 500, retryable: false, text: '{detail}' },
} as const;

export type ErrorCode = keyof typeof ERRORS;
export type ErrorParameters = Readonly<Record<string, string | number>>;

/** An error of the table. `message` is safe to send to a client: no path, no SQL, no stack. */
export class CodedError extends Error {
  readonly code: ErrorCode;
  readonly status: number;
  readonly retryable: boolean;
  /** When to try again. */
  readonly retryAfterS: number;

  constructor(code: ErrorCode, parameters: ErrorParameters = {}, options?: ErrorOptions) {
    super(fill(ERRORS[code].text, parameters), options);
    this.name = 'CodedError';
    this.code = code;
    this.status = ERRORS[code].status;
    this.retryable = ERRORS[code].retryable;
    this.retryAfterS = Number(parameters['seconds'] ?? 1);
  }
}

function fill(template: string, parameters: ErrorParameters): string {
  return template.replaceAll(/\{(\w+)\}/g, (whole, name: string) =>
    String(parameters[name] ?? whole),
  );
}

/** For bugs only: operating errors are CodedErrors. */
export function invariant(condition: boolean, what: string): asserts condition {
  if (!condition) throw new Error(`invariant broken: ${what}`);
}
