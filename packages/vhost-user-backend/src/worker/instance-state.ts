import { fstatSync, ftruncateSync, readSync, writeSync } from 'node:fs';
import { bytes, type HostPointer, struct, u32le, viewOf } from '@node-vmm/vmm-sys-util';
import { STATE_HEADER_LENGTH, STATE_MAX_SIZE, type StateMemory } from '../between/state-memory.ts';
import type { DeviceState } from '../device.ts';

const MAGIC = new TextEncoder().encode('node-vmm state\n\0');
const VERSION = 1;
const LAYOUT_MAX = 64;

/** What a state file begins with. All of it is compared, so that whatever is wrong in it makes it another's. */
const HEADER = struct(
  'state_file_header',
  { magic: bytes(0, 16), version: u32le(16), size: u32le(20), layout: bytes(24, LAYOUT_MAX) },
  { size: STATE_HEADER_LENGTH },
);

/** The state of one device, from its making to its end. */
export class InstanceState {
  readonly #file: StateMemory | undefined;
  #layout: string | undefined;
  #state: DeviceState | undefined;

  constructor(file: StateMemory | undefined) {
    this.#file = file;
  }

  /** True where there was nothing of the device's in its file. */
  get fresh(): boolean {
    return this.#state?.fresh === true;
  }

  /** As `DeviceContext.state`. */
  get(layout: string, size: number): DeviceState | undefined {
    if (!/^[\x21-\x7e]{1,64}$/.test(layout)) {
      throw new RangeError(`"layout" expected 1..${LAYOUT_MAX} ASCII characters, got "${layout}"`);
    }
    if (!Number.isInteger(size) || size < 1 || size > STATE_MAX_SIZE) {
      throw new RangeError(`"size" expected 1..${STATE_MAX_SIZE}, got ${size}`);
    }
    if (this.#file === undefined) return undefined;
    this.#state ??= open(this.#file, layout, size);
    this.#layout ??= layout;
    if (this.#layout !== layout || this.#state.bytes.length !== size) {
      throw new RangeError(`Cannot have state "${layout}": there is "${this.#layout}" already`);
    }
    return this.#state;
  }
}

function open({ fd, pointer }: StateMemory, layout: string, size: number): DeviceState {
  const header = headerOf(layout, size);
  const length = STATE_HEADER_LENGTH + size;
  const found = new Uint8Array(STATE_HEADER_LENGTH);
  readSync(fd, found, 0, found.length, 0);
  const fresh = fstatSync(fd).size !== length || Buffer.compare(found, header) !== 0;
  if (fresh) {
    // The header comes last: a process that dies in between leaves a file that is nobody's.
    writeAt(fd, new Uint8Array(STATE_HEADER_LENGTH), 0);
    ftruncateSync(fd, length);
    // Written and not left as a hole: a full disk is an error here, and not a SIGBUS at a store.
    writeAt(fd, new Uint8Array(size), STATE_HEADER_LENGTH);
    writeAt(fd, header, 0);
  }
  // SAFETY: the main thread maps that much until the device has let go of it, and the file is as long.
  const memory = viewOf((pointer + BigInt(STATE_HEADER_LENGTH)) as HostPointer, size);
  return { bytes: new Uint8Array(memory), fresh };
}

function headerOf(layout: string, size: number): Uint8Array {
  const header = new Uint8Array(STATE_HEADER_LENGTH);
  const name = new Uint8Array(LAYOUT_MAX);
  new TextEncoder().encodeInto(layout, name);
  HEADER.write(new DataView(header.buffer), 0, {
    magic: MAGIC,
    version: VERSION,
    size,
    layout: name,
  });
  return header;
}

function writeAt(fd: number, data: Uint8Array, position: number): void {
  for (let done = 0; done < data.length; ) {
    done += writeSync(fd, data, done, data.length - done, position + done);
  }
}
