/** Self-tracing that is off, as most tests want it. */
import { NO_ACTIVITY } from '../../src/telemetry/self-tracing.ts';
import type { SelfTracer } from '../../src/telemetry/self-tracing.ts';

export const noTracer: Pick<SelfTracer, 'start' | 'handOver' | 'takeOver' | 'claim' | 'resume'> = {
  start: () => NO_ACTIVITY,
  handOver: () => undefined,
  takeOver: () => NO_ACTIVITY,
  claim: () => undefined,
  resume: () => NO_ACTIVITY,
};
