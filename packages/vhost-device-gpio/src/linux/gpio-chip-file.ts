import {
  asFd,
  closeFd,
  type Fd,
  ioctl,
  openFd,
  readFd,
  setNonBlocking,
} from '@node-vmm/vmm-sys-util';
import {
  GPIO_GET_CHIPINFO_IOCTL,
  GPIO_MAX_NAME_SIZE,
  GPIO_V2_GET_LINE_IOCTL,
  GPIO_V2_GET_LINEINFO_IOCTL,
  GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES,
  GPIO_V2_LINE_ATTRIBUTE,
  GPIO_V2_LINE_CONFIG,
  GPIO_V2_LINE_CONFIG_ATTRIBUTE,
  GPIO_V2_LINE_GET_VALUES_IOCTL,
  GPIO_V2_LINE_INFO,
  GPIO_V2_LINE_REQUEST,
  GPIO_V2_LINE_SET_CONFIG_IOCTL,
  GPIO_V2_LINE_SET_VALUES_IOCTL,
  GPIO_V2_LINE_VALUES,
  GPIOCHIP_INFO,
} from './gpio.ts';

/** What a chip says of itself. */
export interface GpioChipInfo {
  /** `gpiochip0`. */
  readonly name: string;
  /** What the chip's driver or the firmware calls it; may be empty. */
  readonly label: string;
  /** How many lines it has. */
  readonly lines: number;
}

/** What the kernel says of a line. */
export interface GpioLineInfo {
  /** Empty where the firmware gives none. */
  readonly name: string;
  /** Who has it, if he said so. */
  readonly consumer: string;
  /** GPIO_V2_LINE_FLAG_ bits. */
  readonly flags: bigint;
}

/** How a line is to be. */
export interface GpioLineConfig {
  /** GPIO_V2_LINE_FLAG_ bits; without a direction the line stays as it is. */
  readonly flags: bigint;
  /** Of an output, 0 or 1; default 0. */
  readonly value?: number;
}

/** The requests of a line that is ours, as far as we use them. */
export interface GpioLineFile extends Disposable {
  /** Non-blocking; `gpio_v2_line_event`s are read from it. */
  readonly fd: Fd;
  /** GPIO_V2_LINE_SET_CONFIG_IOCTL. @throws {SysError} */
  configure(config: GpioLineConfig): void;
  /** GPIO_V2_LINE_GET_VALUES_IOCTL. @returns 0 or 1 @throws {SysError} */
  value(): number;
  /** GPIO_V2_LINE_SET_VALUES_IOCTL. @throws {SysError} EPERM when it is no output */
  setValue(value: number): void;
  /** Events that wait. @returns bytes, -1 when there are none @throws {SysError} */
  readEvents(memory: ArrayBufferView): number;
}

/** The requests of a chip, as far as we use them; tests put something else in the kernel's place. */
export interface GpioChipFile extends Disposable {
  /** GPIO_GET_CHIPINFO_IOCTL. @throws {SysError} ENOTTY when it is no chip */
  info(): GpioChipInfo;
  /** GPIO_V2_GET_LINEINFO_IOCTL. @throws {SysError} EINVAL when there is no such line */
  lineInfo(line: number): GpioLineInfo;
  /** GPIO_V2_GET_LINE_IOCTL. @throws {SysError} EBUSY when somebody has the line */
  request(line: number, consumer: string, config: GpioLineConfig): GpioLineFile;
}

/**
 * Ours: how many events the kernel keeps of a line, 48 bytes each. A guest hears of one edge at a time,
 * so what matters is only that we seldom lose count.
 */
export const EVENT_BUFFER_SIZE = 64;

function text(bytes: Uint8Array): string {
  const end = bytes.indexOf(0);
  return Buffer.from(end < 0 ? bytes : bytes.subarray(0, end)).toString('utf8');
}

function encodeConfig({ flags, value }: GpioLineConfig): Uint8Array<ArrayBuffer> {
  if (value === undefined) return GPIO_V2_LINE_CONFIG.encode({ flags });
  const id = GPIO_V2_LINE_ATTR_ID_OUTPUT_VALUES;
  const attr = GPIO_V2_LINE_ATTRIBUTE.encode({ id, flags: BigInt(value) });
  const attrs = GPIO_V2_LINE_CONFIG_ATTRIBUTE.encode({ attr, mask: 1n });
  return GPIO_V2_LINE_CONFIG.encode({ flags, num_attrs: 1, attrs });
}

/** A line by the descriptor that GPIO_V2_GET_LINE_IOCTL gave. Closing it gives the line back. */
export class LinuxGpioLineFile implements GpioLineFile {
  readonly fd: Fd;
  readonly #subject: string;
  readonly #values = new DataView(new ArrayBuffer(GPIO_V2_LINE_VALUES.SIZE));
  #live = true;

  /** @param fd - becomes the object's */
  constructor(fd: Fd, subject: string) {
    this.fd = fd;
    this.#subject = subject;
  }

  configure(config: GpioLineConfig): void {
    ioctl(this.fd, GPIO_V2_LINE_SET_CONFIG_IOCTL, encodeConfig(config), this.#subject);
  }

  value(): number {
    GPIO_V2_LINE_VALUES.write(this.#values, 0, { bits: 0n, mask: 1n });
    ioctl(this.fd, GPIO_V2_LINE_GET_VALUES_IOCTL, this.#values, this.#subject);
    return Number(GPIO_V2_LINE_VALUES.getBig(this.#values, 0, 'bits') & 1n);
  }

  setValue(value: number): void {
    GPIO_V2_LINE_VALUES.write(this.#values, 0, { bits: BigInt(value), mask: 1n });
    ioctl(this.fd, GPIO_V2_LINE_SET_VALUES_IOCTL, this.#values, this.#subject);
  }

  readEvents(memory: ArrayBufferView): number {
    return readFd(this.fd, memory, memory.byteLength);
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.fd);
  }
}

/** `/dev/gpiochipN`. */
export class LinuxGpioChipFile implements GpioChipFile {
  readonly #fd: Fd;
  readonly #path: string;
  #live = true;

  /** @throws Node's own error with `code`: ENOENT, EACCES ... */
  constructor(path: string) {
    this.#path = path;
    this.#fd = openFd(path);
  }

  info(): GpioChipInfo {
    const memory = new Uint8Array(GPIOCHIP_INFO.SIZE);
    ioctl(this.#fd, GPIO_GET_CHIPINFO_IOCTL, memory, this.#path);
    const { name, label, lines } = GPIOCHIP_INFO.decode(memory);
    return { name: text(name), label: text(label), lines };
  }

  lineInfo(line: number): GpioLineInfo {
    const memory = GPIO_V2_LINE_INFO.encode({ offset: line });
    ioctl(this.#fd, GPIO_V2_GET_LINEINFO_IOCTL, memory, `${this.#path} line ${line}`);
    const { name, consumer, flags } = GPIO_V2_LINE_INFO.decode(memory);
    return { name: text(name), consumer: text(consumer), flags };
  }

  request(line: number, consumer: string, config: GpioLineConfig): GpioLineFile {
    const subject = `${this.#path} line ${line}`;
    const offsets = new Uint8Array(Uint32Array.of(line).buffer);
    const memory = GPIO_V2_LINE_REQUEST.encode({
      offsets,
      // The kernel wants a NUL behind it.
      consumer: new TextEncoder().encode(consumer).subarray(0, GPIO_MAX_NAME_SIZE - 1),
      config: encodeConfig(config),
      num_lines: 1,
      event_buffer_size: EVENT_BUFFER_SIZE,
    });
    ioctl(this.#fd, GPIO_V2_GET_LINE_IOCTL, memory, subject);
    const fd = asFd(GPIO_V2_LINE_REQUEST.decode(memory).fd);
    try {
      setNonBlocking(fd, true);
    } catch (error) {
      closeFd(fd);
      throw error;
    }
    return new LinuxGpioLineFile(fd, subject);
  }

  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.#fd);
  }
}
