# Licensed under the Apache License, Version 2.0 (the "License"); you may not use this file except
# in compliance with the License. You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software distributed under the License
# is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express
# or implied. See the License for the specific language governing permissions and limitations under
# the License.
#
# The v1 spans that src/codec/thrift.ts reads, in TBinaryProtocol: a message is a list of Span.
# Names, field ids and types are those of thrift/zipkinCore.thrift in
# https://github.com/openzipkin/zipkin-api (Apache-2.0); the comments are ours.

namespace java com.twitter.zipkin.thriftjava
namespace rb Zipkin

/** How the bytes of a binary annotation's value are to be read; big endian. */
enum AnnotationType {
  /** One byte. With the key sa, ca or ma: 1, and the host is the peer's address. */
  BOOL = 0,
  /** No encoding, or the type is unknown. */
  BYTES = 1,
  I16 = 2,
  I32 = 3,
  I64 = 4,
  DOUBLE = 5,
  STRING = 6
}

struct Endpoint {
  /** The four bytes of the address as one number; 0 is none. */
  1: i32 ipv4
  /** To be read as unsigned; 0 is none. */
  2: i16 port
  /** Empty is none. */
  3: string service_name
  /** Sixteen bytes. */
  4: optional binary ipv6
}

struct Annotation {
  /** Epoch microseconds. */
  1: i64 timestamp
  /** cs, cr, sr, ss, ms, mr, ws and wr have a meaning of their own. */
  2: string value
  3: optional Endpoint host
}

struct BinaryAnnotation {
  /** sa, ca, ma and lc have a meaning of their own. */
  1: string key
  2: binary value
  3: AnnotationType annotation_type
  4: optional Endpoint host
}

struct Span {
  /** The low 64 bits. */
  1: i64 trace_id
  3: string name
  4: i64 id
  /** 0 is none. */
  5: optional i64 parent_id
  6: list<Annotation> annotations
  8: list<BinaryAnnotation> binary_annotations
  9: optional bool debug = 0
  /** Epoch microseconds; absent where the span is shared with a client that owns its times. */
  10: optional i64 timestamp
  /** Microseconds. */
  11: optional i64 duration
  /** The high 64 bits; 0 or absent for ids of 64 bits. */
  12: optional i64 trace_id_high
}
