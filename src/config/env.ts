/** The only reader of process.env. An empty variable counts as not set. */
export type Environment = ReadonlyMap<string, string>;

/** A copy of the environment as it is now. */
export function readEnvironment(): Environment {
  const variables = new Map<string, string>();
  for (const [name, value] of Object.entries(process.env)) {
    if (value !== undefined && value !== '') variables.set(name, value);
  }
  return variables;
}
