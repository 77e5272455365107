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
  GPIO_V2_LINE_FLAG_INPUT,
  GPIO_V2_LINE_FLAG_OUTPUT,
  GPIO_V2_LINE_FLAG_USED,
} from './gpio.ts';
import { type GpioChipFile, type GpioLineFile, LinuxGpioChipFile } from './gpio-chip-file.ts';
import type { ArmedLine } from './line-messages.ts';

/** Who has the line, as `gpioinfo` shows it. */
export const GPIO_CONSUMER = 'vhost-device-gpio';

/** include/linux/errno.h of Linux: not meant for user space, which gets it all the same. */
const ENOTSUPP = 524;

const FAULTS: ReadonlyMap<number, GpioErrorCode> = new Map([
  [EBUSY, 'LINE_BUSY'],
  [EPERM, 'LINE_BUSY'],
  [EINVAL, 'NOT_SUPPORTED'],
  [ENXIO, 'NOT_SUPPORTED'],
  [EOPNOTSUPP, 'NOT_SUPPORTED'],
  [ENOTSUPP, 'NOT_SUPPORTED'],
  [ENODEV, 'CHIP_GONE'],
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
  /** Values of lines that are no outputs yet. */
  readonly #values = new Map<number, number>();
  #file: GpioChipFile | undefined;

  /**
   * @param open - for tests
   * @throws Node's own error with `code` or {SysError} when the chip cannot be opened
   * @throws {GpioError} CHIP_GONE when it is another one than that which was found
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
   * Makes a line an input or an output, which then has the value that was set before, else 0.
   *
   * @throws {GpioError} LINE_BUSY, NOT_SUPPORTED, CHIP_GONE, IO; so do the others
   */
  setDirection(line: number, output: boolean): void {
    this.#try(line, `make an ${output ? 'output' : 'input'} of`, () => {
      const ours = this.#lines.get(line);
      if (!output) this.#configure(line, GPIO_V2_LINE_FLAG_INPUT);
      // What is one has its value; to say it again could only make it wrong.
      else if (ours?.output !== true || this.#values.has(line)) {
        this.#configure(line, GPIO_V2_LINE_FLAG_OUTPUT, this.#values.get(line) ?? 0);
      }
    });
  }

  /** @returns 0 or 1 */
  value(line: number): number {
    return this.#try(line, 'read', () => this.#request(line).file.value());
  }

  /** Of an output at once; of any other when it becomes one. */
  setValue(line: number, value: number): void {
    this.#try(line, 'write', () => {
      const output = this.#lines.get(line)?.output ?? this.#isOutput(line);
      if (output) this.#request(line).file.setValue(value);
      else this.#values.set(line, value);
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
      // The detector stops before what it left in the queue is dropped.
      const ours = this.#configure(line, GPIO_V2_LINE_FLAG_INPUT);
      // The numbers go round: the newer of two is the one that is less than half a round ahead.
      if (((seqno - ours.seqno) | 0) > 0) ours.seqno = seqno;
      ours.seqno = drain(ours.file) ?? ours.seqno;
      ours.file.configure({ flags: GPIO_V2_LINE_FLAG_INPUT | edges });
      return { fd: ours.file.fd, seqno: ours.seqno };
    });
  }

  /** No more edges. The line stays ours, and an input. Whoever watched its descriptor no longer does. */
  disarm(line: number): void {
    if (!this.#lines.has(line)) return;
    this.#try(line, 'stop waiting for edges of', () =>
      this.#configure(line, GPIO_V2_LINE_FLAG_INPUT),
    );
  }

  /** Gives the line back. Whoever watched its descriptor no longer does. */
  release(line: number): void {
    this.#values.delete(line);
    const ours = this.#lines.get(line);
    this.#lines.delete(line);
    ours?.file[Symbol.dispose]();
  }

  /** Gives all lines back. */
  releaseAll(): void {
    this.#values.clear();
    for (const line of [...this.#lines.keys()]) this.release(line);
  }

  /** How many lines are ours. */
  get requested(): number {
    return this.#lines.size;
  }

  [Symbol.dispose](): void {
    this.releaseAll();
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
          'CHIP_GONE',
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
    if (output) this.#values.delete(line);
    return ours;
  }

  #add(line: number, flags: bigint, value: number | undefined, output: boolean): Line {
    const config = value === undefined ? { flags } : { flags, value };
    const file = this.#chip().request(line, GPIO_CONSUMER, config);
    const added = { file, output, seqno: 0 };
    this.#lines.set(line, added);
    if (output) this.#values.delete(line);
    return added;
  }

  #try<T>(line: number, action: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (GpioError.is(error)) throw error;
      const code = (SysError.is(error) ? FAULTS.get(error.errno) : undefined) ?? 'IO';
      if (code === 'CHIP_GONE') this.#lose();
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

  #error(line: number, code: GpioErrorCode, action: string, state: string, cause?: unknown): GpioError {
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
