import {
  EBUSY,
  EINVAL,
  ENODEV,
  EPERM,
  EventFd,
  type Fd,
  type Interest,
  MainPoller,
  type Poller,
  type Readiness,
  SysError,
  type Watch,
} from '@node-vmm/vmm-sys-util';
import {
  GPIO_V2_LINE_EVENT,
  GPIO_V2_LINE_FLAG_EDGE_FALLING,
  GPIO_V2_LINE_FLAG_EDGE_RISING,
  GPIO_V2_LINE_FLAG_INPUT,
  GPIO_V2_LINE_FLAG_OUTPUT,
  GPIO_V2_LINE_FLAG_USED,
} from '../../src/linux/gpio.ts';
import {
  EVENT_BUFFER_SIZE,
  type GpioChipFile,
  type GpioChipInfo,
  type GpioLineConfig,
  type GpioLineFile,
  type GpioLineInfo,
} from '../../src/linux/gpio-chip-file.ts';

interface KernelLine {
  consumer: string | undefined;
  output: boolean;
  value: number;
  pulled: number;
  file: FakeLineFile | undefined;
}

/** A poller that knows what it watches: no descriptor may be closed meanwhile. */
export class CheckedPoller implements Poller {
  readonly watched = new Set<Fd>();
  readonly #poller = new MainPoller();

  watch(fd: Fd, interest: Interest, callback: (ready: Readiness) => void): Watch {
    const watch = this.#poller.watch(fd, interest, callback);
    this.watched.add(fd);
    const close = (): void => {
      this.watched.delete(fd);
      watch.close();
    };
    return { update: (next) => watch.update(next), close, [Symbol.dispose]: close };
  }
}

/** A chip of the kernel's, as far as its character device shows. */
export class FakeKernel {
  readonly poller = new CheckedPoller();
  readonly lines: KernelLine[];
  label = 'fake';
  /** Errors of the next calls, by name of the request. */
  readonly faults = new Map<string, number>();
  /** Makes the next read of events give this many bytes. */
  shortRead: number | undefined;
  gone = false;
  /** Files that are open, of chips and of lines. */
  open = 0;

  constructor(count = 4) {
    this.lines = Array.from({ length: count }, () => ({
      consumer: undefined,
      output: false,
      value: 0,
      pulled: 0,
      file: undefined,
    }));
  }

  readonly openChip = (_path: string): GpioChipFile => {
    this.fail('open');
    return new FakeChipFile(this);
  };

  /** As `readFd` of a line's descriptor. */
  readonly readEvents = (fd: Fd, memory: DataView): number => {
    const file = this.lines.find((line) => line.file?.fd === fd)?.file;
    if (file === undefined) throw new Error(`descriptor ${fd} is no line's`);
    return file.readEvents(memory);
  };

  fail(request: string): void {
    const errno = this.gone ? ENODEV : this.faults.get(request);
    this.faults.delete(request);
    if (errno !== undefined) throw new SysError({ syscall: `ioctl(${request})`, errno });
  }

  line(number: number): KernelLine {
    const line = this.lines[number];
    if (line === undefined) throw new SysError({ syscall: 'ioctl', errno: EINVAL });
    return line;
  }

  pull(number: number, level: number): void {
    const line = this.line(number);
    line.pulled = level;
    if (line.output || line.value === level) return;
    line.value = level;
    line.file?.edge(number, level === 1);
  }

  /** The chip is taken out. */
  remove(): void {
    this.gone = true;
    for (const { file } of this.lines) file?.wake();
  }
}

class FakeChipFile implements GpioChipFile {
  readonly #kernel: FakeKernel;
  #live = true;

  constructor(kernel: FakeKernel) {
    this.#kernel = kernel;
    kernel.open++;
  }
  info(): GpioChipInfo {
    this.#kernel.fail('GPIO_GET_CHIPINFO_IOCTL');
    return { name: 'gpiochip0', label: this.#kernel.label, lines: this.#kernel.lines.length };
  }
  lineInfo(number: number): GpioLineInfo {
    this.#kernel.fail('GPIO_V2_GET_LINEINFO_IOCTL');
    const { consumer, output } = this.#kernel.line(number);
    const used = consumer === undefined ? 0n : GPIO_V2_LINE_FLAG_USED;
    const direction = output ? GPIO_V2_LINE_FLAG_OUTPUT : GPIO_V2_LINE_FLAG_INPUT;
    return { name: `line-${number}`, consumer: consumer ?? '', flags: used | direction };
  }
  request(number: number, consumer: string, config: GpioLineConfig): GpioLineFile {
    this.#kernel.fail('GPIO_V2_GET_LINE_IOCTL');
    const line = this.#kernel.line(number);
    if (line.consumer !== undefined) throw new SysError({ syscall: 'ioctl', errno: EBUSY });
    const file = new FakeLineFile(this.#kernel, line);
    line.consumer = consumer;
    line.file = file;
    file.apply(config);
    return file;
  }
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    this.#kernel.open--;
  }
}

class FakeLineFile implements GpioLineFile {
  readonly #kernel: FakeKernel;
  readonly #line: KernelLine;
  readonly #signal = EventFd.create();
  readonly #events: { seqno: number; rising: boolean; line: number }[] = [];
  #seqno = 0;
  #edges = 0n;
  #live = true;

  constructor(kernel: FakeKernel, line: KernelLine) {
    this.#kernel = kernel;
    this.#line = line;
    kernel.open++;
  }
  get fd(): Fd {
    return this.#signal.fd;
  }
  configure(config: GpioLineConfig): void {
    this.#kernel.fail('GPIO_V2_LINE_SET_CONFIG_IOCTL');
    this.apply(config);
  }
  apply({ flags, value }: GpioLineConfig): void {
    this.#edges = flags & (GPIO_V2_LINE_FLAG_EDGE_RISING | GPIO_V2_LINE_FLAG_EDGE_FALLING);
    if ((flags & GPIO_V2_LINE_FLAG_OUTPUT) !== 0n) {
      this.#line.output = true;
      this.#line.value = value ?? 0;
    } else if ((flags & GPIO_V2_LINE_FLAG_INPUT) !== 0n) {
      this.#line.output = false;
      this.#line.value = this.#line.pulled;
    }
  }
  value(): number {
    this.#kernel.fail('GPIO_V2_LINE_GET_VALUES_IOCTL');
    return this.#line.value;
  }
  setValue(value: number): void {
    this.#kernel.fail('GPIO_V2_LINE_SET_VALUES_IOCTL');
    if (!this.#line.output) throw new SysError({ syscall: 'ioctl', errno: EPERM });
    this.#line.value = value;
  }
  edge(line: number, rising: boolean): void {
    const flag = rising ? GPIO_V2_LINE_FLAG_EDGE_RISING : GPIO_V2_LINE_FLAG_EDGE_FALLING;
    if ((this.#edges & flag) === 0n) return;
    this.#seqno++;
    // As the kernel: the oldest makes room.
    if (this.#events.length === EVENT_BUFFER_SIZE) this.#events.shift();
    this.#events.push({ seqno: this.#seqno, rising, line });
    this.wake();
  }
  wake(): void {
    this.#signal.signal();
  }
  readEvents(memory: ArrayBufferView): number {
    this.#kernel.fail('read');
    const { shortRead } = this.#kernel;
    this.#kernel.shortRead = undefined;
    if (shortRead !== undefined) return shortRead;
    if (this.#events.length === 0) return -1;
    const view = new DataView(memory.buffer, memory.byteOffset, memory.byteLength);
    let at = 0;
    for (; at + GPIO_V2_LINE_EVENT.SIZE <= memory.byteLength; at += GPIO_V2_LINE_EVENT.SIZE) {
      const event = this.#events.shift();
      if (event === undefined) break;
      const { seqno, rising, line } = event;
      const values = { id: rising ? 1 : 2, offset: line, seqno, line_seqno: seqno };
      GPIO_V2_LINE_EVENT.write(view, at, values);
    }
    if (this.#events.length === 0) this.#signal.drain();
    return at;
  }
  [Symbol.dispose](): void {
    if (!this.#live) return;
    this.#live = false;
    if (this.#kernel.poller.watched.has(this.fd)) throw new Error('closed while it is watched');
    this.#kernel.open--;
    this.#line.consumer = undefined;
    this.#line.file = undefined;
    this.#line.value = this.#line.pulled;
    this.#signal.close();
  }
}
