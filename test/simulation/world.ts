/**
 * The simulation of one seed: some lives of a collector with trouble, then a healthy one that
 * brings everything into storage, then the reckoning. All that happens is drawn from the seed.
 */
import { basename, join } from 'node:path';
import { CodedError } from '../../src/base/errors.ts';
import { CORRUPT_FOLDER, isWhyName } from '../../src/wal/corrupt.ts';
import type { PushOutcome } from '../../src/distributor/outcome.ts';
import { retry } from '../../src/wal/inspection/retry.ts';
import { readAside } from './aside.ts';
import { Books } from './books.ts';
import { Chance } from './chance.ts';
import { Collector, LOG_DIR, type Parts } from './collector.ts';
import { drawLook } from './looks.ts';
import { MessageFactory, type Message } from './messages.ts';
import { drawPlan, HEALTHY, isPoisonous, type LifePlan, type Plan } from './plan.ts';
import { Schedule } from './schedule.ts';
import { SimulatedDisk, type Fault, type Operation } from './simulated-disk.ts';
import { SimulatedStorage } from './simulated-storage.ts';
import { Truth } from './truth.ts';

/** Reads are left out: what cannot be read at a start is set aside for a person, by design. */
const FAULTY: ReadonlySet<Operation> = new Set<Operation>([
  'write',
  'truncate',
  'datasync',
  'create',
  'rename',
  'remove',
  'syncDirectory',
]);
const STARTS_MAX = 40;
/** After so many starts somebody has mended the disk. */
const STARTS_ON_BAD_DISK = 20;
const RESTART_MS_MAX = 5000;
const STOP_MS = 15_000;
/** A segment that fails again and again is tried after minutes. */
const DRAIN_MS_MAX = 3_600_000;
const STEPS_MAX = 20_000;
/** So that no span gets too old, or too far in the future, by the clock alone. */
const JUMPED_MS_MAX = 11 * 3_600_000;

export interface Verdict {
  readonly seed: number;
  /** Broken promises, in words. */
  readonly problems: readonly string[];
  /** The last things that happened. */
  readonly events: readonly string[];
  readonly steps: number;
}

class World {
  readonly truth: Truth;
  readonly #schedule = new Schedule();
  readonly #chance: Chance;
  readonly #plan: Plan;
  readonly #disk: SimulatedDisk;
  readonly #storage: SimulatedStorage;
  readonly #messages: MessageFactory;
  /** When first, by `agedMs`. */
  readonly #sent = new Map<Message, number>();
  readonly #unanswered = new Set<Message>();
  #collector: Collector | undefined;
  #books = new Books();
  #jumpedMs = 0;
  #isOver = false;
  /** Ends the waiting for a process that is no more. */
  #onDeath: () => void = () => undefined;

  constructor(seed: number, eventsMax: number) {
    this.truth = new Truth(eventsMax);
    this.#chance = new Chance(seed);
    this.#plan = drawPlan(this.#chance);
    const { next } = this.#chance;
    this.#disk = new SimulatedDisk(next, () =>
      this.#schedule.sleep(this.#chance.between(0.02, this.#plan.diskMsMax)),
    );
    const parts = {
      schedule: this.#schedule,
      chance: this.#chance,
      disk: this.#disk,
      truth: this.truth,
    };
    this.#storage = new SimulatedStorage(parts, this.#plan);
    this.#messages = new MessageFactory(this.#chance, this.#plan.sent);
  }

  get steps(): number {
    return this.#schedule.steps;
  }

  /** Stops at the first broken promise: what follows from it is of no interest. */
  async run(): Promise<void> {
    void this.#play();
    while (!this.#isOver && this.truth.problems.length === 0) {
      if (this.steps > STEPS_MAX) this.truth.problem('it goes on for ever');
      else if (!(await this.#schedule.step())) this.truth.problem('nothing happens any more');
      this.#checkBooks();
    }
  }

  async #play(): Promise<void> {
    try {
      await this.#script();
    } catch (error) {
      this.truth.problem(error instanceof Error ? (error.stack ?? error.message) : String(error));
    }
    this.#isOver = true;
  }

  async #script(): Promise<void> {
    await this.#schedule.sleep(0);
    for (const plan of this.#plan.lives) await this.#live(plan);
    this.#storage.fates = HEALTHY;
    this.#storage.outages = [];
    await this.#drain();
    this.#checkAside();
    if (this.#asidePaths().length > 0) {
      this.#storage.mend();
      const { left } = await retry(this.#disk.files(), LOG_DIR);
      for (const { name, why } of left) this.truth.problem(`${name} is not put back: ${why}`);
      await this.#drain();
    }
    // What was stored is out of the log: the next process finds nothing.
    await this.#start();
    if (this.#collector?.ledger.entries().recovered !== 0) {
      this.truth.problem('the log still holds what is stored');
    }
    this.truth.checkAll();
  }

  async #live(plan: LifePlan): Promise<void> {
    const { fromMs = 0, toMs = 0 } = plan.outage ?? {};
    const nowMs = this.#schedule.nowMs;
    this.#storage.outages =
      plan.outage === undefined
        ? []
        : [{ ...plan.outage, fromMs: nowMs + fromMs, toMs: nowMs + toMs }];
    this.#disk.killAfter = plan.killAfter;
    this.#disk.killAt = plan.killAt;
    this.#disk.fault = this.#faults(plan);
    const died = this.#untilDeath(plan);
    if (await this.#start()) {
      this.#planActions(plan);
      await Promise.race([this.#schedule.sleep(plan.durationMs), died]);
    }
    await this.#end(plan);
    this.#disk.capacityBytes = Number.POSITIVE_INFINITY;
    if (plan.retry && this.#asidePaths().length > 0) await this.#retry();
    await this.#schedule.sleep(this.#chance.between(1, 5000));
  }

  /** The process dies by an operation of the disk; otherwise the script ends it. */
  #untilDeath(plan: LifePlan): Promise<void> {
    void this.#disk.killed.then(() => this.#die(plan.end === 'power-cut'));
    return new Promise((resolve) => {
      this.#onDeath = resolve;
    });
  }

  #die(isPowerCut: boolean): void {
    this.#event(isPowerCut ? 'power cut' : 'killed');
    if (this.#collector !== undefined) this.#collector.alive = false;
    this.#collector = undefined;
    if (isPowerCut) this.#disk.powerCut();
    else this.#disk.kill();
    this.#storage.callerDied();
    this.#onDeath();
  }

  /** A supervisor starts it again until it comes up. @returns false: it died meanwhile */
  async #start(): Promise<boolean> {
    for (let starts = 0; starts < STARTS_MAX; starts++) {
      if (starts === STARTS_ON_BAD_DISK) this.#disk.fault = () => undefined;
      const collector = new Collector(this.#parts());
      this.#collector = collector;
      this.#books = new Books();
      const died = new Promise<'died'>((resolve) => {
        const before = this.#onDeath;
        this.#onDeath = () => {
          before();
          resolve('died');
        };
      });
      try {
        if ((await Promise.race([collector.start(), died])) !== 'died') return true;
        return false;
      } catch (error) {
        if (!(error instanceof CodedError) || error.code !== 'SCRUBJAY_ERR_START') throw error;
        this.#event(`not started: ${error.message}`);
      }
      collector.alive = false;
      await this.#schedule.sleep(this.#chance.between(100, RESTART_MS_MAX));
    }
    throw new Error('it does not start');
  }

  #parts(): Parts {
    return {
      schedule: this.#schedule,
      chance: this.#chance,
      disk: this.#disk,
      truth: this.truth,
      plan: this.#plan,
      storage: this.#storage,
    };
  }

  async #end(plan: LifePlan): Promise<void> {
    const collector = this.#collector;
    if (collector === undefined) return;
    if (plan.end === 'stop' && collector.isReady) {
      const died = new Promise<void>((resolve) => {
        this.#onDeath = resolve;
      });
      this.#event('stop');
      await Promise.race([collector.stop(this.#chance.oneOf(0, STOP_MS)), died]);
    }
    if (this.#collector !== undefined) this.#die(plan.end === 'power-cut');
  }

  #planActions(plan: LifePlan): void {
    const { durationMs } = plan;
    const spread = (count: number, run: () => void): void => {
      // In bursts, so that requests share groups, and alone.
      let atMs = 0;
      for (let n = 0; n < count; n++) {
        if (n === 0 || this.#chance.happens(0.6)) atMs = this.#chance.between(0, durationMs);
        this.#schedule.after(atMs + this.#chance.between(0, 3), run);
      }
    };
    spread(plan.messages, () => this.#send(this.#messages.make(this.#schedule.epochMs)));
    spread(plan.resends, () => this.#resend());
    spread(plan.queries, () => this.#query());
    for (const message of this.#unanswered) {
      const afterMs = this.#chance.between(0, durationMs / 2);
      if (this.#chance.happens(0.5)) this.#schedule.after(afterMs, () => this.#repeat(message));
    }
    for (const { atMs, byMs } of plan.clockJumps) {
      this.#schedule.after(atMs, () => this.#jump(byMs));
    }
    const { crowded } = plan;
    if (crowded === undefined) return;
    this.#schedule.after(crowded.fromMs, () => {
      this.#disk.capacityBytes = this.#disk.usedBytes() + this.#chance.integer(0, 60_000);
      this.#event('the disk is nearly full');
    });
    this.#schedule.after(crowded.toMs, () => {
      this.#disk.capacityBytes = Number.POSITIVE_INFINITY;
    });
  }

  #faults(plan: LifePlan): (operation: Operation, path: string) => Fault | undefined {
    const startMs = this.#schedule.nowMs;
    const { broken, faultCode, faultShare } = plan;
    return (operation, path) => {
      if (!FAULTY.has(operation)) return undefined;
      const ms = this.#schedule.nowMs - startMs;
      const isBroken = broken !== undefined && broken.fromMs <= ms && ms < broken.toMs;
      if (!this.#chance.happens(isBroken ? 0.7 : faultShare)) return undefined;
      const code = isBroken ? 'EIO' : faultCode;
      const applied = this.#chance.happens(0.5);
      this.#event(`disk: ${code} of ${operation} ${basename(path)}`);
      return { code, applied };
    };
  }

  #jump(byMs: number): void {
    if (Math.abs(this.#jumpedMs + byMs) > JUMPED_MS_MAX) return;
    this.#jumpedMs += byMs;
    this.#schedule.jump(byMs);
    this.#event(`the clock jumps by ${byMs} ms`);
  }

  #resend(): void {
    const known = [...this.#sent.keys()].filter((message) => this.#mayRepeat(message));
    if (known.length > 0) this.#send(known[this.#chance.integer(0, known.length - 1)]!);
  }

  #repeat(message: Message): void {
    if (this.#mayRepeat(message)) this.#send(message);
  }

  /** Only within the time for which the collector promises to know a body, by any clock. */
  #mayRepeat(message: Message): boolean {
    const { agedMs } = this.#schedule;
    const ageMs = agedMs - (this.#sent.get(message) ?? agedMs);
    return ageMs < this.#plan.wal.notesKeptMs * 0.8;
  }

  #send(message: Message): void {
    const collector = this.#collector;
    if (collector === undefined || !collector.isReady) return;
    if (!this.#sent.has(message)) this.#sent.set(message, this.#schedule.agedMs);
    this.truth.sent(message);
    this.#event(`send ${message.number}`);
    this.#unanswered.add(message);
    collector.push(message).then(
      (outcome) => this.#answered(collector, message, outcome),
      (error: unknown) => this.truth.problem(`push failed: ${String(error)}`),
    );
  }

  #answered(collector: Collector, message: Message, outcome: PushOutcome): void {
    if (!collector.alive) return;
    this.#unanswered.delete(message);
    this.#books.answered(message, outcome);
    const why = outcome.kind === 'refused' ? ` ${outcome.error.message}` : '';
    this.#event(`${outcome.kind} ${message.number}${why}`);
    if (outcome.kind === 'accepted' || outcome.kind === 'partial') {
      this.truth.acked(message);
      if (this.#chance.happens(0.4)) this.#query();
    }
    if (outcome.kind === 'refused' && this.#chance.happens(0.7)) {
      this.#schedule.after(this.#chance.between(1, 3000), () => this.#repeat(message));
    }
  }

  #query(): void {
    const collector = this.#collector;
    if (collector === undefined || !collector.isReady) return;
    const acked = this.truth.ackedMessages;
    this.#waitForFresh(collector, acked).catch((error: unknown) => {
      this.truth.problem(`query failed: ${String(error)}`);
    });
  }

  async #waitForFresh(collector: Collector, acked: number): Promise<void> {
    const { scope, holds } = drawLook(this.#chance, this.#schedule.epochMs);
    const inLog = scope === 'all' ? undefined : await collector.unstored(scope);
    if (!collector.alive) return;
    const isFresh = inLog !== undefined || (await collector.fresh(scope));
    if (!collector.alive) return;
    this.#event(`query is ${isFresh ? 'fresh' : 'stale'}, ${inLog?.length ?? 0} rows of the log`);
    if (isFresh) this.truth.checkFresh(acked, holds, new Set(inLog));
  }

  /** `scrubjay wal retry`, which may end at any moment too. */
  async #retry(): Promise<void> {
    this.#disk.killAfter = this.#chance.oneOf(Number.POSITIVE_INFINITY, this.#chance.integer(1, 9));
    this.#event('retry');
    await Promise.race([retry(this.#disk.files(), LOG_DIR), this.#disk.killed]);
    if (this.#chance.happens(0.5)) this.#disk.powerCut();
    else this.#disk.kill();
  }

  #checkAside(): void {
    const paths = this.#asidePaths();
    if (paths.length > 0 && !isPoisonous(this.#plan)) {
      this.truth.problem(`false alarms: ${paths.join()}`);
    }
    this.truth.checkAside(readAside(this.#disk, paths));
  }

  /** All but the reasons. */
  #asidePaths(): string[] {
    const isAside = (path: string): boolean => path.startsWith(join(LOG_DIR, CORRUPT_FOLDER));
    return this.#disk.paths().filter((path) => isAside(path) && !isWhyName(path));
  }

  async #drain(): Promise<void> {
    await this.#start();
    const collector = this.#collector!;
    const untilMs = this.#schedule.nowMs + DRAIN_MS_MAX;
    while (!collector.hasNothingPending && this.#schedule.nowMs < untilMs) {
      await this.#schedule.sleep(500);
    }
    const { pending, set_aside: aside, stored, accepted } = collector.ledger.entries();
    const { poison: mayBeAside } = this.#storage.refused;
    if (pending > 0 || (aside > 0 && !mayBeAside) || stored + aside !== accepted) {
      this.truth.problem(`of ${accepted} accepted, ${pending} are pending and ${aside} set aside`);
    }
    await collector.stop(STOP_MS);
    collector.alive = false;
    this.#disk.kill();
    this.#storage.callerDied();
  }

  #checkBooks(): void {
    const collector = this.#collector;
    if (collector === undefined || !collector.isReady) return;
    const problems = this.#books.problems(collector.ledger.entries(), collector.storedRows);
    for (const problem of problems) this.truth.problem(problem);
  }

  #event(text: string): void {
    this.truth.event(this.#schedule.nowMs, text);
  }
}

/**
 * Lives through the seed. The same seed gives the same verdict, event by event.
 * @param eventsMax how many of the last events are kept
 */
export async function simulate(seed: number, eventsMax = 60): Promise<Verdict> {
  const world = new World(seed, eventsMax);
  await world.run();
  const { problems, events } = world.truth;
  return { seed, problems, events, steps: world.steps };
}
