/** Days since 1970-01-01 UTC: the partitions of storage. */
export const DAY_US = 86_400_000_000;
const TWO_32 = 4_294_967_296;

/** `2026-11-21` */
export const dateOf = (day: number): string =>
  new Date((day * DAY_US) / 1000).toISOString().slice(0, 10);

/** @param ts epoch microseconds of each row as pairs of 32-bit words, low word first */
export function rowsByDay(ts: Uint32Array, rows: number): Map<number, number> {
  const days = new Map<number, number>();
  let runDay = -1;
  let run = 0;
  for (let row = 0; row < rows; row++) {
    const us = ts[2 * row + 1]! * TWO_32 + ts[2 * row]!;
    const day = Math.floor(us / DAY_US);
    if (day !== runDay && run > 0) {
      days.set(runDay, (days.get(runDay) ?? 0) + run);
      run = 0;
    }
    runDay = day;
    run++;
  }
  if (run > 0) days.set(runDay, (days.get(runDay) ?? 0) + run);
  return days;
}
