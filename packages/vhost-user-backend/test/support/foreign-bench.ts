import { expect } from 'vitest';
import type { DeviceSpec, ServedDevice, VhostUserDaemonOptions } from '../../src/index.ts';
import {
  type FakeDomain,
  type FrontEnd,
  GUEST_BASE,
  GuestRing,
  negotiate,
} from '../../src/testing/index.ts';
import { Bench } from '../bench.ts';

/** REPLY_ACK and XEN_MMAP. */
const PROTOCOL = (1n << 3n) | (1n << 17n);
/** Where an answer is, behind its request. */
const ANSWER = 512;

/** A front-end of a domain's, with a ring in that domain's memory. */
export interface Connected {
  readonly from: FakeDomain;
  readonly device: ServedDevice;
  readonly frontEnd: FrontEnd;
  readonly ring: GuestRing;
  /** Says again what the domain's memory is. */
  tell(): Promise<number>;
}

/** A daemon of echo devices whose guests are Xen domains. */
export class ForeignBench {
  readonly bench: Bench;
  readonly #closeables: { close(): void }[] = [];
  #devices = 0;

  constructor(options: VhostUserDaemonOptions) {
    this.bench = new Bench({ workers: 2, ...options });
  }

  /**
   * @param place - a ring's, within the domain's first chunk
   * @param size - bytes that the domain claims to have
   */
  async connect(
    from: FakeDomain,
    place: number,
    size?: number,
    spec: Partial<DeviceSpec> = {},
  ): Promise<Connected> {
    const device = await this.bench.addDevice({}, { name: `echo-${++this.#devices}`, ...spec });
    const frontEnd = this.bench.connect(device);
    frontEnd.connection.codec.options.xenMmap = true;
    const regions = from.regions(size);
    await negotiate(frontEnd, { regions, fds: from.fds }, { protocolFeatures: PROTOCOL });
    const base = GUEST_BASE + BigInt(place * 0x4000);
    const ring = new GuestRing(from.guest, 0, undefined, 64, 0, base);
    this.#closeables.push(ring);
    ring.setUp(frontEnd);
    expect(await ring.enable(frontEnd)).toBe(0);
    const tell = () => frontEnd.tell('VHOST_USER_SET_MEM_TABLE', regions, [...from.fds]);
    return { from, device, frontEnd, ring, tell };
  }

  /** Has a request of four bytes echoed, wherever it is. @returns how many bytes the device says it has written */
  async echo({ ring, frontEnd }: Connected, offset: number): Promise<number> {
    const guestAddr = (GUEST_BASE + BigInt(offset)) as never;
    const answer = (GUEST_BASE + BigInt(offset + ANSWER)) as never;
    ring.driver.add([
      { guestAddr, length: 4, writable: false },
      { guestAddr: answer, length: 4, writable: true },
    ]);
    if (ring.driver.publish()) ring.kick.signal();
    return (await ring.collect(frontEnd.poller, 1))[0] as number;
  }

  async close(): Promise<void> {
    await this.bench.close();
    for (const closeable of this.#closeables) closeable.close();
  }
}

/** What a domain has at an offset. */
export function put(domain: FakeDomain, offset: number, bytes: readonly number[]): void {
  domain.guest.memory.write((GUEST_BASE + BigInt(offset)) as never, Uint8Array.from(bytes));
}

/** What was answered to a request at an offset. */
export function answerAt(domain: FakeDomain, offset: number): number[] {
  const bytes = new Uint8Array(4);
  domain.guest.memory.read((GUEST_BASE + BigInt(offset + ANSWER)) as never, bytes);
  return [...bytes];
}
