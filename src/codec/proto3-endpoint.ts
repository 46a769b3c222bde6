/**
 * Endpoints of zipkin.proto into the columns of one side.
 *
 *   Endpoint = { 1 service_name: string, 2 ipv4: bytes, 3 ipv6: bytes, 4 port: int32 }
 *
 * As in zipkin2/Endpoint.java the kind of an address is told by its length, whatever its field.
 */
import type { DecodeReport } from '../model/decode-report.ts';
import type { EndpointColumns } from '../model/endpoint-columns.ts';
import type { SpanBatch } from '../model/span-batch.ts';
import type { LikelyEntries } from './proto3-likely.ts';
import type { Wire } from './proto3-wire.ts';

const SERVICE_NAME = 0x0a;
const IPV4 = 0x12;
const IPV6 = 0x1a;
const PORT = 0x20;
const PORT_MAX = 65_535;
const WIRE_TYPE = 7;
const VARINT = 0;

export class EndpointReader {
  readonly #wire: Wire;
  readonly #batch: SpanBatch;
  readonly #report: DecodeReport;
  readonly #side: EndpointColumns;
  readonly #likely: LikelyEntries;
  /** The row that was written last. */
  #written = -1;

  /** @param likely service names of that side */
  constructor(
    wire: Wire,
    batch: SpanBatch,
    report: DecodeReport,
    side: EndpointColumns,
    likely: LikelyEntries,
  ) {
    this.#wire = wire;
    this.#batch = batch;
    this.#report = report;
    this.#side = side;
    this.#likely = likely;
  }

  /** Reads source[from, to) into the row being written. @returns to, or -1 */
  read(from: number, to: number): number {
    const row = this.#batch.rows;
    // A second one replaces the first. (Behind a dropped row there is nothing to clear.)
    if (row === this.#written) this.#side.clear(row);
    this.#written = row;
    return this.#readFields(from, to, row);
  }

  #readFields(start: number, end: number, row: number): number {
    const wire = this.#wire;
    let p = start;
    while (p < end) {
      p = wire.tag(p, end);
      if (p < 0) return p;
      const tag = wire.low;
      switch (tag) {
        case SERVICE_NAME:
        case IPV4:
        case IPV6: {
          const from = wire.block(p, end);
          if (from < 0) return from;
          p = wire.to;
          if (tag === SERVICE_NAME) this.#service(from, p, row);
          else this.#address(tag, from, p, row);
          break;
        }
        case PORT:
          p = wire.varint(p, end);
          if (p < 0) return p;
          this.#port(row);
          break;
        default:
          p = wire.skip(p, end, tag);
          if (p < 0) return p;
          // What Zipkin accepts must read as Zipkin reads it: it takes nothing of an endpoint that
          // stands behind an unknown field, unless that is a varint.
          if ((tag & WIRE_TYPE) !== VARINT) return end;
      }
    }
    return p;
  }

  #service(from: number, to: number, row: number): void {
    const { source, view } = this.#wire;
    const side = this.#side;
    if (from === to) {
      side.serviceIndex[row] = 0;
      return;
    }
    const likely = this.#likely.find(side.services, view, from, to);
    // An entry may be longer than the limit of this message: limits differ by tenant.
    if (likely > 0 && to - from <= this.#batch.limits.serviceNameBytesMax) {
      side.serviceIndex[row] = likely;
      return;
    }
    const text = this.#wire.repaired(from, to);
    if (text === undefined) this.#batch.setService(side, source, from, to);
    else this.#batch.setService(side, text, 0, text.length);
    this.#likely.note(side.serviceIndex[row]!, view, from, to);
  }

  #port(row: number): void {
    const { low, high } = this.#wire;
    const valid = high === 0 && low <= PORT_MAX;
    this.#side.port[row] = valid ? low : 0;
    if (!valid) this.#report.normalize('port_dropped');
  }

  #address(tag: number, from: number, to: number, row: number): void {
    const length = to - from;
    if (length === 4) {
      this.#side.setIp4(row, this.#wire.view.getUint32(from));
      if (tag === IPV6) this.#report.normalize('ip_moved');
    } else if (length === 16) this.#address16(tag, from, row);
    else if (length > 0) this.#report.normalize('ip_dropped');
  }

  #address16(tag: number, from: number, row: number): void {
    const view = this.#wire.view;
    const low = view.getUint32(from + 12);
    if (view.getUint32(from) === 0 && view.getUint32(from + 4) === 0) {
      const flag = view.getUint32(from + 8);
      // ::1.2.3.4 is IPv4, :: and ::1 are not. A mapped address stays IPv6, as in Zipkin, unless it
      // stands in the field of IPv4: the OpenTelemetry Collector writes that field so.
      if ((flag === 0 && low > 1) || (flag === 0xffff && tag === IPV4)) {
        this.#side.setIp4(row, low);
        if (flag !== 0) this.#report.normalize('ip_moved');
        return;
      }
    }
    this.#side.setIp6(row, this.#wire.source, from);
    if (tag === IPV4) this.#report.normalize('ip_moved');
  }
}
