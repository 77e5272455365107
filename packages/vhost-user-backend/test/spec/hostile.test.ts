// Titles name sections of the vhost-user specification (QEMU docs/interop/vhost-user.rst).
import type { FRONTEND_REQUESTS, RequestPayload } from '@node-vmm/vhost-user';
import { EventFd, type Fd } from '@node-vmm/vmm-sys-util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  FrontEnd,
  GUEST_BASE,
  Guest,
  GuestRing,
  negotiate,
  openFds,
  USER_BASE,
  until,
} from '../../src/testing/index.ts';
import { useBench } from '../bench.ts';

type Name = keyof typeof FRONTEND_REQUESTS;
interface Step {
  readonly name: Name;
  readonly payload: unknown;
  readonly fds: 'none' | 'event' | 'memory' | 'regions';
  readonly ack: boolean;
}

const step = (name: Name, payload: fc.Arbitrary<unknown>, fds: Step['fds'] = 'none') =>
  fc.record({
    name: fc.constant(name),
    payload,
    fds: fc.constant(fds),
    ack: fc.boolean(),
  });
const index = fc.constantFrom(0, 0, 0, 1, 1, 2, 255);
const state = (num: fc.Arbitrary<number>) => fc.record({ index, num });
const part = (at: number) =>
  fc.constantFrom(0, 0, 0, 0, 16, 0x1_0000, 0x1f_fff0).map((o) => USER_BASE + BigInt(at + o));
const region = fc
  .record({
    at: fc.constantFrom(0n, 0n, 0n, 4096n, 1n << 32n),
    size: fc.constantFrom(0x20_0000n, 0x20_0000n, 4096n, 1n << 40n),
    mmapOffset: fc.constantFrom(0n, 0n, 4096n),
  })
  .map(({ at, size, mmapOffset }) => ({
    guestAddr: GUEST_BASE + at,
    userAddr: USER_BASE + at,
    size,
    mmapOffset,
  }));
const ringFd = (name: Name) =>
  fc.oneof(
    step(
      name,
      fc.record({ index: fc.constantFrom(0, 0, 1, 9), hasFd: fc.constant(true) }),
      'event',
    ),
    step(name, fc.record({ index: fc.constantFrom(0, 1), hasFd: fc.constant(true) }), 'memory'),
    step(name, fc.record({ index: fc.constantFrom(0, 1), hasFd: fc.constant(false) })),
  );
const NOTHING = fc.constant(undefined);
const STEPS = fc.oneof(
  step('VHOST_USER_GET_FEATURES', NOTHING),
  step('VHOST_USER_SET_FEATURES', fc.constantFrom(0x1_7000_0005n, 0x1_3000_0000n, 0n)),
  step('VHOST_USER_SET_PROTOCOL_FEATURES', fc.constantFrom(0x1_a029n, 8n, 0n)),
  step('VHOST_USER_SET_OWNER', NOTHING),
  step('VHOST_USER_RESET_OWNER', NOTHING),
  step('VHOST_USER_RESET_DEVICE', NOTHING),
  step('VHOST_USER_SET_STATUS', fc.constantFrom(0n, 1n, 15n)),
  step('VHOST_USER_SET_MEM_TABLE', fc.array(region, { maxLength: 2 }), 'regions'),
  step('VHOST_USER_ADD_MEM_REG', region, 'memory'),
  step('VHOST_USER_REM_MEM_REG', region),
  step('VHOST_USER_SET_VRING_NUM', state(fc.constantFrom(64, 64, 64, 1, 256, 3, 32768))),
  step('VHOST_USER_SET_VRING_BASE', state(fc.constantFrom(0, 0, 1, 64, 65_535, 70_000))),
  step(
    'VHOST_USER_SET_VRING_ADDR',
    fc.record({
      index,
      flags: fc.constant(0),
      descTable: part(0),
      availRing: part(1024),
      usedRing: part(1160),
      log: fc.constant(0n),
    }),
  ),
  step('VHOST_USER_GET_VRING_BASE', state(fc.constant(0))),
  step('VHOST_USER_SET_VRING_ENABLE', state(fc.constantFrom(0, 1, 1))),
  ringFd('VHOST_USER_SET_VRING_KICK'),
  ringFd('VHOST_USER_SET_VRING_CALL'),
  ringFd('VHOST_USER_SET_VRING_ERR'),
  step('VHOST_USER_GET_QUEUE_NUM', NOTHING),
  step('VHOST_USER_SET_BACKEND_REQ_FD', NOTHING, 'event'),
  step('VHOST_USER_SEND_RARP', fc.constant(0n)),
);

describe('Hostile front-ends', () => {
  const bench = useBench();

  it('messages in any order and with any values crash, hang and leak nothing', async () => {
    const { guest, device } = bench();
    const path = device.socketPath as string;
    await bench().idle();
    const before = openFds();
    let connections = 0;
    const play = async (
      prepared: boolean,
      steps: readonly Step[],
      noise: readonly number[],
    ): Promise<void> => {
      const frontEnd = new FrontEnd(path);
      connections++;
      const ring = new GuestRing(guest);
      const event = EventFd.create();
      const memory = guest.fds[0] as Fd;
      ring.submit([1], [2], [0xfe]);
      const answers: Promise<unknown>[] = [];
      try {
        if (prepared) {
          await negotiate(frontEnd, guest);
          ring.setUp(frontEnd);
          await ring.enable(frontEnd);
        }
        for (const { name, payload, fds, ack } of steps) {
          const sent =
            fds === 'regions'
              ? (payload as unknown[]).map(() => memory)
              : { none: [], event: [event.fd], memory: [memory] }[fds];
          const value = payload as RequestPayload<typeof FRONTEND_REQUESTS, typeof name>;
          frontEnd.connection.sendRequest(name, value, sent, ack);
          event.signal();
        }
        // The rings' contents change while the back-end looks at them.
        const bytes = guest.memory.regions[0]?.bytes;
        noise.forEach((value, i) => {
          if (bytes !== undefined) bytes[1024 + ((i * 7) % 1400)] = value;
          event.signal();
        });
        answers.push(frontEnd.ask('VHOST_USER_GET_FEATURES', undefined));
      } catch {
        // The back-end has dropped us while we wrote.
      }
      await Promise.race([frontEnd.closed, ...answers.map((answer) => answer.catch(() => 0))]);
      frontEnd.close();
      ring.close();
      event.close();
    };
    await fc.assert(
      fc.asyncProperty(
        fc.boolean(),
        fc.array(STEPS, { minLength: 1, maxLength: 30 }),
        fc.array(fc.integer({ min: 0, max: 255 }), { maxLength: 64 }),
        play,
      ),
      { numRuns: 300 },
    );
    await until(async () => (await device.status()).connections === connections);
    await bench().idle();
    const { state: left, rings } = await device.status();
    expect(left).toBe('listening');
    // The sequences did get as far as the rings.
    expect(rings[0]?.chains).toBeGreaterThan(100);
    expect(rings[0]?.broken).toBeGreaterThan(0);
    await expect.poll(() => openFds()).toBe(before);
    guest.close();
    const fresh = new Guest();
    Object.assign(bench(), { guest: fresh });
    const { frontEnd, ring } = await bench().running();
    ring.submit([1, 2]);
    expect(await ring.collect(frontEnd.poller, 1)).toEqual([2]);
  }, 180_000);
});
