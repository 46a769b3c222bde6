/**
 * Decode speed on one core, as ratios to plain ways of doing the same in the same run:
 *
 *   npm run bench:codec              compares with test/bench/baseline.json; exit 1 when slower
 *   npm run bench:codec -- --update  stores the measured ratios as the new baseline
 *
 * Messages of 100 spans of one service each (test/fixtures/bench-messages.json).
 */
import { readFileSync, writeFileSync } from 'node:fs';
import process from 'node:process';
import { URL } from 'node:url';
import protobuf from 'protobufjs';
import { allowInlining } from '../../dist/base/compiler.js';
import { decodeJsonV1, decodeJsonV2 } from '../../dist/codec/json-v2.js';
import { decodeProto3 } from '../../dist/codec/proto3.js';
import { decodeThrift } from '../../dist/codec/thrift.js';
import { DecodeReport } from '../../dist/model/decode-report.js';
import { SpanBatch } from '../../dist/model/span-batch.js';
import { objectsOf, toProto, toThrift, toV1 } from './encoders.mjs';

// As the collector does at its start.
allowInlining();

const ROUNDS = 15;
const MESSAGES_PER_ROUND = 120;
/** Slower than the baseline by more than this fails. */
const SLACK = 1.15;
const BASELINE = new URL('baseline.json', import.meta.url);
const LIMITS = {
  spanBytesMax: 262_144,
  tagsMax: 256,
  annotationsMax: 256,
  tagKeyBytesMax: 256,
  tagValueBytesMax: 65_536,
  annotationBytesMax: 16_384,
  nameBytesMax: 512,
  serviceNameBytesMax: 256,
};

const read = (path) => readFileSync(new URL(path, import.meta.url), 'utf8');
const lists = JSON.parse(read('../fixtures/bench-messages.json'));
const { root } = protobuf.parse(read('../../proto/zipkin.proto'), { keepCase: true });
const ListOfSpans = root.lookupType('zipkin.proto3.ListOfSpans');

const messages = {
  json: lists.map((list) => Buffer.from(JSON.stringify(list))),
  v1: lists.map((list) => Buffer.from(JSON.stringify(list.map(toV1)))),
  proto: lists.map((list) => Buffer.from(toProto(ListOfSpans, list))),
  thrift: lists.map((list) => toThrift(list.map(toV1))),
};

const batch = new SpanBatch(LIMITS, 12_345);
const gate = { admit: () => undefined };
const tenant = Buffer.from('default');

/** Decodes into a batch that is emptied every thousand rows, as the log's groups are. */
const into = (decode) => (body) => {
  batch.beginMessage(tenant, LIMITS, 1_700_000_000_000_000);
  const report = new DecodeReport();
  const error = decode(body, batch, gate, report);
  if (error !== undefined || report.rejected > 0) throw new Error(error?.message ?? 'rejected');
  if (batch.rows >= 1000) batch.reset();
};

const contestants = [
  ['JSON.parse and objects', messages.json, (body) => objectsOf(JSON.parse(body.toString()))],
  ['v2 JSON', messages.json, into(decodeJsonV2)],
  ['protobufjs decode', messages.proto, (body) => ListOfSpans.decode(body)],
  ['proto3', messages.proto, into(decodeProto3)],
  ['v1 JSON.parse and objects', messages.v1, (body) => objectsOf(JSON.parse(body.toString()))],
  ['v1 JSON', messages.v1, into(decodeJsonV1)],
  ['thrift', messages.thrift, into(decodeThrift)],
];
/** What each is compared with. */
const RIVALS = {
  'v2 JSON': 'JSON.parse and objects',
  proto3: 'protobufjs decode',
  'v1 JSON': 'v1 JSON.parse and objects',
  thrift: 'v1 JSON.parse and objects',
};

/** Microseconds of CPU per span. */
function measure(bodies, decode) {
  const before = process.cpuUsage();
  for (let i = 0; i < MESSAGES_PER_ROUND; i++) decode(bodies[i % bodies.length]);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / (MESSAGES_PER_ROUND * lists[0].length);
}

const best = new Map();
for (let round = 0; round < ROUNDS; round++) {
  for (const [name, bodies, decode] of contestants) {
    best.set(name, Math.min(best.get(name) ?? Infinity, measure(bodies, decode)));
  }
}
const baseline = JSON.parse(read('baseline.json'));
const ratios = {};
let slower = 0;
for (const [name, us] of best) {
  const rival = RIVALS[name];
  if (rival === undefined) {
    process.stdout.write(`${name.padEnd(28)}${us.toFixed(2)} us/span\n`);
    continue;
  }
  const ratio = us / best.get(rival);
  ratios[name] = Number(ratio.toFixed(3));
  const stored = baseline.codec[name];
  const worse = stored !== undefined && ratio > stored * SLACK;
  if (worse) slower++;
  const verdict = `${(1 / ratio).toFixed(2)} times ${rival}, baseline ${stored ?? 'none'}`;
  process.stdout.write(
    `${name.padEnd(28)}${us.toFixed(2)} us/span  ratio ${ratio.toFixed(3)} (${verdict})` +
      `${worse ? ' SLOWER' : ''}\n`,
  );
}
if (process.argv.includes('--update')) {
  writeFileSync(BASELINE, `${JSON.stringify({ ...baseline, codec: ratios }, null, 2)}\n`);
} else process.exitCode = slower > 0 ? 1 : 0;
