import {
  EBUSY,
  EINVAL,
  ENODEV,
  ENXIO,
  EOPNOTSUPP,
  EPERM,
  errorMessage,
  SysError,
} from '@node-vmm/vmm-sys-util';
import { GpioError, type GpioErrorCode } from '../errors.ts';
import type { OpenChip } from './chips.ts';
import {
  GPIO_V2_LINE_EVENT,
  GPIO_V2_LINE_FLAG_EDGE_FALLING,
  GPIO_V2_LINE_FLAG_EDGE_RISING,
  GPIO_V2_LINE_FLAG_INPUT,
  GPIO_V2_LINE_FLAG_OUTPUT,
  GPIO_V2_LINE_FLAG_USED,
} from './gpio.ts';
import { type GpioChipFile, type GpioLineFile, LinuxGpioChipFile } from './gpio-chip-file.ts';
import type { ArmedLine } from './line-messages.ts';

/** Ours: who has the line, as `gpioinfo` shows it. */
export const GPIO_CONSUMER = 'vhost-device-gpio';

const EDGES = GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING;

/** include/linux/errno.h of Linux: not meant for user space, which gets it all the same. */
const ENOTSUPP = 524;

const FAULTS: ReadonlyMap<number, GpioErrorCode> = new Map([
  [EBUSY, 'LINE_BUSY'],
  [EPERM, 'LINE_BUSY'],
  [EINVAL, 'NOT_SUPPORTED'],
  [ENXIO, 'NOT_SUPPORTED'],
  [EOPNOTSUPP, 'NOT_SUPPORTED'],
  [ENOTSUPP, 'NOT_SUPPORTED'],
  [ENODEV, 'NO_DEVICE'],
]);

/** The chip that the command line named. */
export interface ChipIdentity {
  readonly path: string;
  readonly label: string;
  readonly lines: number;
}

interface Line {
  readonly file: GpioLineFile;
  output: boolean;
  /** GPIO_V2_LINE_FLAG_EDGE_ bits. */
  edges: bigint;
  /** `line_seqno` of the newest event that was read or dropped. */
  seqno: number;
}

/**
 * The lines of a chip of Linux, one request each, made when the line is first used: a configuration
 * applies to a whole request and has ten attributes at most, and a line that somebody else has is to fail
 * alone. Calls may sleep, behind an expander on a slow bus.
 */
export class GpioLines implements Disposable {
  readonly #identity: ChipIdentity;
  readonly #open: OpenChip;
  readonly #lines = new Map<number, Line>();
  #file: GpioChipFile | undefined;

  /**
   * @param open - for tests
   * @throws Node's own error with `code` or {SysError} when the chip cannot be opened
   * @throws {GpioError} NO_DEVICE when it is another one than that which was found
   */
  constructor(identity: ChipIdentity, open: OpenChip = (path) => new LinuxGpioChipFile(path)) {
    this.#identity = identity;
    this.#open = open;
    this.#chip();
  }

  /** True for an output. Asks without requesting the line, so it answers for lines of others, too. */
  isOutput(line: number): boolean {
    return this.#try(line, 'read the direction of', () => this.#isOutput(line));
  }

  /**
   * Takes a line as an output that drives `value`, or as an input, which stays armed if it was.
   *
   * @throws {GpioError} LINE_BUSY, NOT_SUPPORTED, NO_DEVICE, IO; so do the others
   */
  setDirection(line: number, output: boolean, value: number): void {
    this.#try(line, `make an ${output ? 'output' : 'input'} of`, () => {
      if (output) this.#configure(line, GPIO_V2_LINE_FLAG_OUTPUT, value);
      else this.#configure(line, GPIO_V2_LINE_FLAG_INPUT | (this.#lines.get(line)?.edges ?? 0n));
    });
  }

  /** @returns 0 or 1 */
  value(line: number): number {
    return this.#try(line, 'read', () => this.#request(line).file.value());
  }

  /** Drives an output. */
  setValue(line: number, value: number): void {
    this.#try(line, 'write', () => {
      const output = this.#lines.get(line)?.output ?? this.#isOutput(line);
      if (!output) throw this.#error(line, 'NOT_SUPPORTED', 'write', 'it is no output');
      this.#request(line).file.setValue(value);
    });
  }

  /**
   * Has the kernel report edges of an input; what it reported of earlier is dropped.
   *
   * @param edges - GPIO_V2_LINE_FLAG_EDGE_ bits
   * @param seqno - `line_seqno` of the last event that was read of this request of the line, else 0
   */
  arm(line: number, edges: bigint, seqno: number): ArmedLine {
    return this.#try(line, 'wait for edges of', () => {
      if (this.#lines.get(line)?.output === true) {
        throw this.#error(line, 'NOT_SUPPORTED', 'wait for edges of', 'it is an output');
      }
      const before = this.#lines.get(line)?.edges ?? 0n;
      // The detector stops before what it left in the queue is dropped.
      const ours = this.#configure(line, GPIO_V2_LINE_FLAG_INPUT);
      // The numbers go round: the newer of two is the one that is less than half a round ahead.
      if (((seqno - ours.seqno) | 0) > 0) ours.seqno = seqno;
      ours.seqno = drain(ours.file) ?? ours.seqno;
      try {
        this.#configure(line, GPIO_V2_LINE_FLAG_INPUT | edges);
      } catch (error) {
        // What cannot be had leaves what there was.
        if (before !== 0n) this.#configure(line, GPIO_V2_LINE_FLAG_INPUT | before);
        throw error;
      }
      return { fd: ours.file.fd, seqno: ours.seqno };
    });
  }

  /** No more edges. The line stays ours if it is, and an input. */
  disarm(line: number): void {
    const ours = this.#lines.get(line);
    if (ours === undefined || ours.edges === 0n) return;
    this.#try(line, 'stop waiting for edges of', () =>
      this.#configure(line, GPIO_V2_LINE_FLAG_INPUT),
    );
  }

  /** Gives the line back. Whoever watched its descriptor no longer does. */
  release(line: number): void {
    const ours = this.#lines.get(line);
    this.#lines.delete(line);
    ours?.file[Symbol.dispose]();
  }

  /** How many lines are ours. */
  get requested(): number {
    return this.#lines.size;
  }

  [Symbol.dispose](): void {
    for (const line of [...this.#lines.keys()]) this.release(line);
    this.#file?.[Symbol.dispose]();
    this.#file = undefined;
  }

  /** Opened again after the chip was gone, which may have come back. */
  #chip(): GpioChipFile {
    if (this.#file !== undefined) return this.#file;
    const { path, label, lines } = this.#identity;
    const file = this.#open(path);
    try {
      const info = file.info();
      if (info.label !== label || info.lines !== lines) {
        throw new GpioError(
          'NO_DEVICE',
          `Cannot use ${path}: it was ${label} with ${lines} lines and is now ${info.label} with ${info.lines}; start again`,
          { path },
        );
      }
    } catch (error) {
      file[Symbol.dispose]();
      throw error;
    }
    this.#file = file;
    return file;
  }

  #isOutput(line: number): boolean {
    return (this.#chip().lineInfo(line).flags & GPIO_V2_LINE_FLAG_OUTPUT) !== 0n;
  }

  /** The line as it is. */
  #request(line: number): Line {
    const ours = this.#lines.get(line);
    if (ours !== undefined) return ours;
    const output = this.#isOutput(line);
    return this.#add(line, 0n, undefined, output);
  }

  #configure(line: number, flags: bigint, value?: number): Line {
    const output = (flags & GPIO_V2_LINE_FLAG_OUTPUT) !== 0n;
    const ours = this.#lines.get(line);
    if (ours === undefined) return this.#add(line, flags, value, output);
    ours.file.configure(value === undefined ? { flags } : { flags, value });
    ours.output = output;
    ours.edges = flags & EDGES;
    return ours;
  }

  #add(line: number, flags: bigint, value: number | undefined, output: boolean): Line {
    const config = value === undefined ? { flags } : { flags, value };
    const file = this.#chip().request(line, GPIO_CONSUMER, config);
    const added = { file, output, edges: flags & EDGES, seqno: 0 };
    this.#lines.set(line, added);
    return added;
  }

  #try<T>(line: number, action: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (GpioError.is(error)) throw error;
      const code = (SysError.is(error) ? FAULTS.get(error.errno) : undefined) ?? 'IO';
      if (code === 'NO_DEVICE') this.#lose();
      const state = code === 'LINE_BUSY' ? this.#holder(line) : errorMessage(error);
      throw this.#error(line, code, action, state, error);
    }
  }

  /** The chip's own file; those of lines may be watched, and are given back by who does. */
  #lose(): void {
    this.#file?.[Symbol.dispose]();
    this.#file = undefined;
  }

  #holder(line: number): string {
    try {
      const { flags, consumer } = this.#chip().lineInfo(line);
      if ((flags & GPIO_V2_LINE_FLAG_USED) !== 0n && consumer !== '') {
        return `"${consumer}" has it; end that program or unbind that driver`;
      }
    } catch {
      // Its name only makes the message nicer.
    }
    return 'a driver or another program has it (gpioinfo tells which)';
  }

  #error(
    line: number,
    code: GpioErrorCode,
    action: string,
    state: string,
    cause?: unknown,
  ): GpioError {
    const { path } = this.#identity;
    const text = `Cannot ${action} line ${line} of ${path}: ${state}`;
    return new GpioError(code, text, { path, line }, { cause });
  }
}

/** @returns `line_seqno` of the last event that there was */
function drain(file: GpioLineFile): number | undefined {
  const events = new DataView(new ArrayBuffer(16 * GPIO_V2_LINE_EVENT.SIZE));
  let last: number | undefined;
  for (;;) {
    const length = file.readEvents(events);
    const count = Math.floor(length / GPIO_V2_LINE_EVENT.SIZE);
    if (count <= 0) return last;
    last = GPIO_V2_LINE_EVENT.get(events, (count - 1) * GPIO_V2_LINE_EVENT.SIZE, 'line_seqno');
  }
}
