import { allOnes, type Held, HeldTimes, whenOver } from '@node-vmm/vm-device';
import {
  errorMessage,
  type Logger,
  NodeTimers,
  silentLogger,
  type Timers,
} from '@node-vmm/vmm-sys-util';
import { type AccessResult, type AccessServer, LateValue } from './access-request.ts';
import { IOREQ_TYPE_INVALIDATE, STATE_IOREQ_INPROCESS } from './ioreq-layout.ts';
import { emptyRequest, type IoreqPage, type IoreqRequest } from './ioreq-page.ts';

/** Ours: how long a vCPU may stand still for a deferred answer, in milliseconds. */
export const DEFAULT_ANSWER_LIMIT = 10_000;

// The kernel's ioeventfd code marks every write as being served while it looks whether it wants it,
// well under a microsecond; seeing that mark means looking again.
const MAX_RECHECKS = 16;

/** What a dispatcher counted since it was made; read by metrics, never reset. */
export interface IoreqCounters {
  /** Requests taken. Every one of them is answered. */
  requests: number;
  invalidates: number;
  /** Types that no bus serves (COPY and PIO have one) and that are not INVALIDATE: all ones. */
  unsupported: number;
  /** Sizes, counts and pointers that cannot be, answered with all ones. */
  malformed: number;
  /** Answers that a handler deferred, and requests held until one was ready. */
  deferred: number;
  /** Deferred answers given because the limit had passed. */
  timeouts: number;
  /** Errors on the way, all answered: rejected promises, callbacks that threw. */
  errors: number;
}

/** The counters of a dispatcher before its first request. */
export function ioreqCounters(): IoreqCounters {
  return {
    requests: 0,
    invalidates: 0,
    unsupported: 0,
    malformed: 0,
    deferred: 0,
    timeouts: 0,
    errors: 0,
  };
}

/** What an {@link IoreqDispatcher} works with. */
export interface IoreqDispatcherComponents {
  /** Where vCPUs post their requests, and find the answers. */
  readonly page: AccessPage;
  /** Carries them out: an `AccessRequest` over the buses of a machine. */
  readonly server: AccessServer;
  /** Tells the vCPU that its request is answered. */
  readonly notify: (vcpu: number) => void;
  /**
   * The guest gave memory back or moved it, nobody says which: what is mapped may be stale. The guest waits for
   * what is returned, as for any deferred answer.
   */
  readonly invalidate?: () => Held | undefined;
  readonly logger?: Logger;
  /** Of the thread that it runs on; default: Node's. */
  readonly timers?: Timers;
  /** Counted there; default: an object of its own. */
  readonly counters?: IoreqCounters;
  readonly heldTimes?: HeldTimes;
}

/** What a dispatcher needs of an {@link IoreqPage}: another may stand for the accesses of another hypervisor. */
export type AccessPage = Pick<
  IoreqPage,
  'vcpus' | 'state' | 'take' | 'setData' | 'complete' | 'putBack'
>;

export interface IoreqDispatcherOptions {
  /** Milliseconds, default {@link DEFAULT_ANSWER_LIMIT}. */
  readonly answerLimit?: number;
}

/** An answer under way. */
interface HeldAnswer {
  /** @param inTime - false when the limit passed, or the dispatcher closes */
  end(inTime: boolean): void;
  /** Nothing has been done about the request: gives it back as it was. Undefined once something was. */
  putBack: (() => void) | undefined;
}

/**
 * Serves the requests of an ioreq page. Whatever happens, a request that was taken is answered
 * exactly once: a vCPU waits for every answer, and a guest with a vCPU that waits for ever is lost.
 *
 * Runs on any thread: it waits by callbacks and by the timers that it is given.
 */
export class IoreqDispatcher implements Disposable {
  readonly counters: IoreqCounters;
  /** Of answers that were deferred, and of requests that waited for their device. */
  readonly heldTimes: HeldTimes;
  readonly #components: IoreqDispatcherComponents;
  readonly #page: AccessPage;
  readonly #server: AccessServer;
  readonly #timers: Timers;
  readonly #limit: number;
  readonly #logger: Logger;
  readonly #request: IoreqRequest = emptyRequest();
  // By vCPU.
  readonly #held = new Map<number, HeldAnswer>();
  readonly #logged = new Set<keyof IoreqCounters>();
  #live = true;
  /** Set while nothing more is taken: called when nothing is held any more. */
  #paused: (() => void) | undefined;

  constructor(components: IoreqDispatcherComponents, options: IoreqDispatcherOptions = {}) {
    this.#components = components;
    this.#page = components.page;
    this.#server = components.server;
    this.#timers = components.timers ?? new NodeTimers();
    this.counters = components.counters ?? ioreqCounters();
    this.heldTimes = components.heldTimes ?? new HeldTimes();
    this.#limit = options.answerLimit ?? DEFAULT_ANSWER_LIMIT;
    this.#logger = components.logger ?? silentLogger;
  }

  /** Serves what any vCPU asks for: once at the start, and after the kernel's help ended. */
  serviceAll(): void {
    for (let vcpu = 0; vcpu < this.#page.vcpus; vcpu++) this.service(vcpu);
  }

  /**
   * Serves a vCPU's request, if there is one. Never throws.
   *
   * @returns true when there was one
   */
  service(vcpu: number): boolean {
    if (!this.#serving) return false;
    if (this.#page.take(vcpu, this.#request)) {
      this.#serve(vcpu);
      return true;
    }
    this.#recheck(vcpu, MAX_RECHECKS);
    return false;
  }

  /**
   * Takes nothing more until {@link resume}, so that somebody else can serve the page: vCPUs wait for
   * whoever that is. What waits for its device is given back as it was.
   *
   * @param paused - called when all else that was taken is answered, at once where nothing was
   */
  pause(paused: () => void): void {
    if (!this.#serving) {
      paused();
      return;
    }
    this.#paused = paused;
    for (const { putBack } of [...this.#held.values()]) putBack?.();
    if (this.#held.size === 0) paused();
  }

  /** Serves again, and first what was asked for meanwhile. */
  resume(): void {
    this.#paused = undefined;
    this.serviceAll();
  }

  get #serving(): boolean {
    return this.#live && this.#paused === undefined;
  }

  #recheck(vcpu: number, left: number): void {
    if (!this.#serving || this.#held.has(vcpu)) return;
    if (this.#page.state(vcpu) !== STATE_IOREQ_INPROCESS) {
      if (left < MAX_RECHECKS && this.#page.take(vcpu, this.#request)) this.#serve(vcpu);
      return;
    }
    if (left > 0) this.#timers.soon(() => this.#recheck(vcpu, left - 1));
  }

  #serve(vcpu: number): void {
    this.counters.requests++;
    this.#carryOut(vcpu, this.#request);
  }

  #carryOut(vcpu: number, request: IoreqRequest): void {
    let result: AccessResult | undefined;
    let held: Held | undefined;
    try {
      result = this.#server.run(request);
      held = result === undefined ? this.#noAccess(vcpu, request) : result.held;
    } catch (error) {
      // Nothing below throws by contract: this is the last line of defence for the vCPU.
      this.#page.setData(vcpu, allOnes(request.size));
      this.#count('errors', { vcpu, error: errorMessage(error) });
    }
    if (result !== undefined) {
      if (result.notReady !== undefined) {
        this.#wait(vcpu, request, result.notReady);
        return;
      }
      if (request.isRead) this.#page.setData(vcpu, result.value);
      if (result.malformed) this.#count('malformed', { vcpu, request: { ...request } });
    }
    if (held === undefined) this.#answer(vcpu);
    else this.#answerLater(vcpu, request, held);
  }

  /** What is no access to memory or ports. */
  #noAccess(vcpu: number, request: IoreqRequest): Held | undefined {
    if (request.type === IOREQ_TYPE_INVALIDATE) {
      this.counters.invalidates++;
      return this.#components.invalidate?.();
    }
    if (request.isRead) this.#page.setData(vcpu, allOnes(request.size));
    this.#count('unsupported', { vcpu, type: request.type });
    return undefined;
  }

  /** Until the device that the request is for is there. */
  #wait(vcpu: number, request: IoreqRequest, ready: Held): void {
    const kept = { ...request };
    const then = (inTime: boolean): void => {
      if (inTime) this.#carryOut(vcpu, kept);
      else this.#refuse(vcpu, kept);
    };
    this.#hold(vcpu, ready, then, () => this.#page.putBack(vcpu));
  }

  #answerLater(vcpu: number, request: IoreqRequest, held: Held): void {
    const late = request.isRead && held instanceof LateValue ? held : undefined;
    const { size } = request;
    this.#hold(vcpu, held, (inTime) => {
      if (late !== undefined) this.#page.setData(vcpu, inTime ? late.value : allOnes(size));
      this.#answer(vcpu);
    });
  }

  #refuse(vcpu: number, request: IoreqRequest): void {
    if (request.isRead) this.#page.setData(vcpu, allOnes(request.size));
    this.#answer(vcpu);
  }

  /**
   * @param then - goes on, with false when the limit passed or the dispatcher closes
   * @param putBack - gives the request back, where nothing has been done about it
   */
  #hold(vcpu: number, held: Held, then: (inTime: boolean) => void, putBack?: () => void): void {
    this.counters.deferred++;
    const begun = this.heldTimes.begin();
    const over = (): boolean => {
      if (this.#held.get(vcpu) !== answer) return false;
      this.#held.delete(vcpu);
      this.heldTimes.end(begun);
      timer.cancel();
      return true;
    };
    const end = (inTime: boolean): void => {
      if (!over()) return;
      then(inTime);
      if (this.#held.size === 0) this.#paused?.();
    };
    const timer = this.#timers.after(this.#limit, () => {
      if (this.#held.get(vcpu) !== answer) return;
      this.#count('timeouts', { vcpu, limit: this.#limit });
      end(false);
    });
    const giveBack = (): void => {
      if (over()) putBack?.();
    };
    const answer = { end, putBack: putBack === undefined ? undefined : giveBack };
    this.#held.set(vcpu, answer);
    whenOver(
      held,
      () => end(true),
      (error: unknown) => {
        this.#count('errors', { vcpu, error: errorMessage(error) });
        end(false);
      },
    );
  }

  #answer(vcpu: number): void {
    this.#page.complete(vcpu);
    try {
      this.#components.notify(vcpu);
    } catch (error) {
      this.#count('errors', { vcpu, error: errorMessage(error) });
    }
  }

  #count(counter: keyof IoreqCounters, context: object): void {
    this.counters[counter]++;
    if (this.#logged.has(counter)) return;
    this.#logged.add(counter);
    this.#logger.warn({ counter, ...context }, 'ioreq: trouble, logged once of its kind');
  }

  /**
   * Answers what is under way and what nobody has looked at yet, and takes nothing more: whoever closes
   * it has seen to it that nothing more is posted. After {@link pause} what nobody has looked at is left to
   * whoever serves the page next. The page is not touched afterwards.
   */
  close(): void {
    if (!this.#live) return;
    this.#endHeld();
    this.serviceAll();
    // What has to wait now waits for nobody.
    this.#endHeld();
    this.#live = false;
  }

  #endHeld(): void {
    for (const { end } of [...this.#held.values()]) end(false);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
