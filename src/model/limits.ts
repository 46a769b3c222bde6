/** Limits of one span, in bytes of UTF-8 or as counts; what is over is cut and counted. */
export interface SpanLimits {
  readonly spanBytesMax: number;
  readonly tagsMax: number;
  readonly annotationsMax: number;
  readonly tagKeyBytesMax: number;
  readonly tagValueBytesMax: number;
  readonly annotationBytesMax: number;
  readonly nameBytesMax: number;
  readonly serviceNameBytesMax: number;
}
