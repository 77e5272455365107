import {
  EAGAIN,
  ENOTTY,
  type Fd,
  type HostPointer,
  type IoctlRequest,
  type Mapping,
  type MemoryArg,
  type Poller,
  readFd,
  UnixStream,
  viewOf,
  type Watch,
  writeFd,
} from '@node-vmm/vmm-sys-util';
import { IOCTL_EVTCHN_NOTIFY_ARG } from '../abi/evtchn.ts';
import { PRIVCMD_DM_OP, PRIVCMD_DM_OP_BUF } from '../abi/privcmd.ts';
import type { XenDevice } from '../device.ts';
import { argument, kernelError } from './fake-device.ts';

/** What another thread had a fake device do. */
export type FakeThreadCall =
  | { readonly call: 'unmask'; readonly ports: readonly number[] }
  | { readonly call: 'notify'; readonly port: number }
  | { readonly call: 'dmOp'; readonly domid: number; readonly bytes: string };

/** Ours: of one read of what threads did. */
const READ_BYTES = 65_536;

/**
 * A fake device for a thread that has nothing of the fake but a descriptor. The real drivers do at once what a
 * thread asks for; here it is done, in order, when the fake's thread comes to it: by its poller, or by `pump`.
 */
export class FakeThreadLink implements Disposable {
  readonly #here: UnixStream;
  readonly #there: UnixStream;
  readonly #onCall: (call: FakeThreadCall) => void;
  readonly #watch: Watch | undefined;
  readonly #buffer = new Uint8Array(READ_BYTES);
  #text = '';
  #live = true;

  constructor(poller: Poller | undefined, onCall: (call: FakeThreadCall) => void) {
    [this.#here, this.#there] = UnixStream.pair();
    this.#onCall = onCall;
    this.#watch = poller?.watch(this.#here.fd, { readable: true }, () => this.pump());
  }

  /** The device's, for the process under test. */
  get fd(): Fd {
    return this.#there.fd;
  }

  /** Lets a port be read from it. */
  report(port: number): void {
    this.#here.send(new Uint8Array(Uint32Array.of(port).buffer));
  }

  /** Does what threads asked for. */
  pump(): void {
    while (this.#live) {
      const received = this.#here.receive(this.#buffer);
      if (received === undefined || received.bytes === 0) return;
      this.#text += new TextDecoder().decode(this.#buffer.subarray(0, received.bytes));
      const lines = this.#text.split('\n');
      this.#text = lines.pop() ?? '';
      for (const line of lines) this.#onCall(JSON.parse(line) as FakeThreadCall);
    }
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#watch?.close();
    this.#here.close();
    this.#there.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/** The end of a `FakeThreadLink` in another thread. Whatever it is asked for succeeds. */
export class FakeThreadDevice implements XenDevice {
  readonly fd: Fd;
  #live = true;

  /** @param fd - stays its owner's */
  constructor(fd: Fd) {
    this.fd = fd;
  }

  get live(): boolean {
    return this.#live;
  }

  ioctl(request: IoctlRequest, arg: MemoryArg): number {
    if (request.name === 'IOCTL_EVTCHN_NOTIFY') {
      const { port } = IOCTL_EVTCHN_NOTIFY_ARG.decode(argument(arg));
      this.#send({ call: 'notify', port });
    } else if (request.name === 'IOCTL_PRIVCMD_DM_OP') {
      const { dom, ubufs } = PRIVCMD_DM_OP.decode(argument(arg));
      // SAFETY: the caller of the ioctl owns the memory for the time of the call, as with the kernel.
      const table = new DataView(viewOf(ubufs as HostPointer, PRIVCMD_DM_OP_BUF.SIZE));
      const { uptr, size } = PRIVCMD_DM_OP_BUF.read(table);
      // SAFETY: as above.
      const bytes = Buffer.from(viewOf(uptr as HostPointer, Number(size))).toString('hex');
      this.#send({ call: 'dmOp', domid: dom, bytes });
    } else {
      throw kernelError(request.name, ENOTTY);
    }
    return 0;
  }

  #send(call: FakeThreadCall): void {
    const line = new TextEncoder().encode(`${JSON.stringify(call)}\n`);
    if (writeFd(this.fd, line, line.length) !== line.length) throw kernelError('write', EAGAIN);
  }

  read(target: ArrayBufferView, count: number): number {
    return readFd(this.fd, target, count);
  }

  write(source: ArrayBufferView, count: number): number {
    const ports = [...new Uint32Array(source.buffer, source.byteOffset, count >>> 2)];
    this.#send({ call: 'unmask', ports });
    return count;
  }

  map(): Mapping {
    throw kernelError('mmap', ENOTTY);
  }

  overlay(): void {
    throw kernelError('mmap', ENOTTY);
  }

  close(): void {
    this.#live = false;
  }

  [Symbol.dispose](): void {
    this.close();
  }
}
