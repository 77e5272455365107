import {
  type ChainBatch,
  DeviceCommandError,
  type DeviceContext,
  type DeviceQueue,
  type VhostUserDevice,
} from '@node-vmm/vhost-user-backend';
import { VIRTIO_GPIO_CONFIG, VIRTIO_GPIO_F_IRQ } from '@node-vmm/virtio-bindings/gpio';
import {
  type CommandTarget,
  type EdgeReport,
  type LineReport,
  runLineCommand,
} from './commands.ts';
import { type GpioCounters, newCounters } from './counters.ts';
import { GpioError } from './errors.ts';
import type { GpioHost, GpioLevel } from './gpio-host.ts';
import { type EdgeOutcome, Interrupts } from './interrupts.ts';
import { namesBlock, tellableNames } from './line-names.ts';
import { isEdgeTrigger, type LineStates } from './line-states.ts';
import { type LineChange, Lines } from './lines.ts';
import { Requests } from './requests.ts';
import { SimulatedGpioHost } from './simulated/simulated-gpio-host.ts';
import { directionWord, triggerWord } from './words.ts';

/** Sizes of requestq and eventq, as rust-vmm's daemon has them. */
export const GPIO_QUEUE_SIZE = 256;

const EVENTQ = 1;
const FEATURES = 1n << BigInt(VIRTIO_GPIO_F_IRQ);

/** What a device is made of. */
export interface GpioDeviceParts {
  /** Becomes the device's, which disposes of it. */
  readonly host: GpioHost;
  /** As many as the host has lines. */
  readonly states: LineStates;
  /** The states end with the process. */
  readonly losesState: boolean;
}

/** The virtio GPIO device: VIRTIO 1.3 §5.18. */
export class GpioDevice implements VhostUserDevice, CommandTarget {
  readonly features: bigint = FEATURES;
  readonly queueMaxSizes: readonly number[] = [GPIO_QUEUE_SIZE, GPIO_QUEUE_SIZE];
  readonly config: Uint8Array;
  readonly losesState: boolean;
  readonly names: readonly string[];
  readonly counters: GpioCounters = newCounters();
  readonly #host: GpioHost;
  readonly #states: LineStates;
  readonly #emit: DeviceContext['emit'];
  readonly #interrupts: Interrupts;
  readonly #lines: Lines;
  readonly #requests: Requests;
  /** Of the edge that was told last, for who moved the line. */
  #outcome: EdgeOutcome = 'none';
  /** There has been a driver since the device was made or reset. */
  #driven = false;
  #live = true;

  /** Makes the host what the states say. */
  constructor(
    { host, states, losesState }: GpioDeviceParts,
    { logger, emit }: Pick<DeviceContext, 'logger' | 'emit'>,
  ) {
    this.#host = host;
    this.#states = states;
    this.#emit = emit;
    this.losesState = losesState;
    this.names = tellableNames(host.names);
    const block = namesBlock(this.names);
    this.config = VIRTIO_GPIO_CONFIG.encode({
      ngpio: states.length,
      gpio_names_size: block.length,
    });
    const { counters } = this;
    this.#interrupts = new Interrupts(states, host, counters, this.#onInterrupt);
    const interrupts = this.#interrupts;
    const onChange = this.#onChange;
    this.#lines = new Lines({ states, host, interrupts, counters, logger, onChange });
    this.#requests = new Requests(this.#lines, counters, block);
    host.listen(this.#onEdge);
    this.#lines.restore();
  }

  negotiated(features: bigint): void {
    this.#driven = true;
    this.#lines.interruptsAllowed = (features & FEATURES) !== 0n;
  }

  process(queue: DeviceQueue, batch: ChainBatch): void {
    if (queue.index === EVENTQ) {
      for (let i = 0; i < batch.length; i++) {
        this.#interrupts.unmask(queue, batch.at(i), this.#lines.interruptsAllowed);
      }
      return;
    }
    for (let i = 0; i < batch.length; i++) this.#requests.push(queue, batch.at(i));
    this.#requests.detach();
  }

  /** Requests are answered first; event buffers go back, and Linux queues them again. */
  queueStopping(queue: DeviceQueue, done: () => void): void {
    if (queue.index === EVENTQ) {
      this.#interrupts.returnAll();
      queue.flush();
      done();
    } else this.#requests.whenIdle(done);
  }

  queueStopped(queue: number): void {
    if (queue === EVENTQ) this.#interrupts.forget();
    else this.#requests.forget();
  }

  /**
   * What is outside (a button that is pressed) stays as it is. A front-end that has come and gone before
   * any driver was there takes nothing of what a process before has left.
   */
  reset(): void {
    if (!this.#driven) return;
    this.#driven = false;
    this.#requests.forget();
    this.#interrupts.reset();
    this.#lines.reset();
    this.#lines.interruptsAllowed = false;
    this.#emit({ event: 'reset' });
  }

  command(words: readonly string[]): object {
    return runLineCommand(this, words);
  }

  report(line: number): LineReport {
    const states = this.#states;
    const direction = directionWord(states.direction(line));
    return {
      line,
      name: this.names[line] ?? '',
      direction,
      value: direction === 'out' ? states.value(line) : states.level(line),
      trigger: triggerWord(states.trigger(line)),
      masked: this.#interrupts.masked(line),
      latched: states.latched(line),
      interrupts: this.#interrupts.lines.of(line),
    };
  }

  move(line: number, level: GpioLevel): EdgeReport | undefined {
    const host = this.#host;
    if (!(host instanceof SimulatedGpioHost)) {
      const text = `Cannot set line ${line}: it is a line of ${host.name}, which only its hardware moves`;
      throw new DeviceCommandError('REFUSED', text);
    }
    const changes = this.#states.level(line) !== level;
    this.#outcome = 'none';
    try {
      host.move(line, level);
    } catch (error) {
      if (!GpioError.is(error)) throw error;
      throw new DeviceCommandError('REFUSED', error.message, {}, { cause: error });
    }
    if (!changes) return undefined;
    return { edge: level === 1 ? 'rising' : 'falling', became: this.#outcome };
  }

  readonly #onEdge = (line: number, rising: boolean): void => {
    this.#outcome = this.#interrupts.edge(line, rising);
    if (this.#outcome === 'latched') this.#emit({ event: 'latched', line });
  };

  readonly #onInterrupt = (line: number): void => {
    const trigger = this.#states.trigger(line);
    const kind = isEdgeTrigger(trigger) ? 'edge' : 'level';
    this.#emit({ event: 'interrupt', line, kind });
  };

  readonly #onChange = (change: LineChange): void => {
    if (change.event === 'direction') {
      this.#emit({ ...change, direction: directionWord(change.direction) });
    } else if (change.event === 'trigger') {
      this.#emit({ ...change, trigger: triggerWord(change.trigger) });
    } else this.#emit(change);
  };

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#requests.forget();
    this.#interrupts.close();
    this.#host[Symbol.dispose]();
  }
}
