import { equal, ok } from 'node:assert/strict';
import { hasProtocolFeature } from '@node-vmm/vhost-user';
import { closeFd, type Fd, memfdCreate, openFd, UnixStream } from '@node-vmm/vmm-sys-util';
import type { DeviceBench } from '../device-bench.ts';
import { GUEST_BASE, USER_BASE } from '../guest.ts';
import { exchangeRaw, rawMessage, sendRaw } from '../raw-messages.ts';
import { alive, connect, type DeviceCase, leavesNothing, refused, serves } from './subject.ts';

/** Numbers that no version of the specification has given to a request. */
const UNKNOWN = [0, 60, 200, 0xffff, 0xffff_ffff];

const NO_MESSAGES: readonly (readonly number[])[] = [
  new Array<number>(64).fill(0xff),
  new Array<number>(64).fill(0),
  // A version that does not exist.
  [1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0],
  // A reply that nobody asked for.
  [1, 0, 0, 0, 5, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0],
  // Sizes that are no payload's.
  [1, 0, 0, 0, 1, 0, 0, 0, 255, 255, 255, 255],
  [8, 0, 0, 0, 1, 0, 0, 0, 3, 0, 0, 0, 1, 2, 3],
  // The beginning of one.
  [1, 0, 0],
  [2, 0, 0, 0, 1, 0, 0, 0, 8, 0, 0, 0, 1],
];

const RING_DESCRIPTORS = [
  'VHOST_USER_SET_VRING_KICK',
  'VHOST_USER_SET_VRING_CALL',
  'VHOST_USER_SET_VRING_ERR',
] as const;

/** Descriptors that are no eventfd. */
async function withOthers(part: (fds: readonly Fd[]) => Promise<void>): Promise<void> {
  const [a, b] = UnixStream.pair();
  const opened = [memfdCreate('no-eventfd', 4096), openFd('/dev/zero'), openFd('/', 'r')];
  try {
    await part([...opened, a.fd]);
  } finally {
    for (const fd of opened) closeFd(fd);
    a.close();
    b.close();
  }
}

/** The same wish on a connection of its own each, of which the back-end may end every one. */
async function eachRefused<T>(
  subject: Parameters<DeviceCase['run']>[0],
  wishes: readonly T[],
  wish: (bench: DeviceBench, value: T) => Promise<number>,
): Promise<void> {
  for (const value of wishes) {
    await using bench = await connect(subject);
    await refused(bench, wish(bench, value));
  }
}

/** Messages that are wrong: they are refused or end their connection, and leave nothing behind. */
export const messageCases: readonly DeviceCase[] = [
  {
    section: 'VHOST_USER_PROTOCOL_F_REPLY_ACK',
    name: 'a request that nobody knows is not acknowledged with success',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (const request of UNKNOWN) {
          await using bench = await connect(subject);
          const { frontend, protocolFeatures } = bench;
          if (!hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_REPLY_ACK')) return;
          const fds = [bench.queue(0).ring.kick.fd];
          const payload = Uint8Array.of(1, 2, 3, 4, 5);
          const answer = await exchangeRaw(frontend, { request, payload, fds, needReply: true });
          if (answer === undefined) continue;
          equal(answer.length, 8);
          ok(
            answer.some((byte) => byte !== 0),
            `request ${request} was acknowledged`,
          );
          ok(await alive(bench), 'the connection ended after an acknowledgement');
        }
      }),
  },
  {
    section: 'Communication',
    name: 'a request that nobody knows, of which nobody wants to hear, stops nothing',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (const request of UNKNOWN) {
          await using bench = await connect(subject);
          sendRaw(bench.frontend, rawMessage({ request }), [bench.queue(0).ring.call.fd]);
          await alive(bench);
        }
      }),
  },
  {
    section: 'Message Specification',
    name: 'bytes that are no message end at most their own connection',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (const bytes of NO_MESSAGES) {
          await using bench = await connect(subject);
          sendRaw(bench.frontend, Uint8Array.from(bytes));
          await bench.close();
          await serves(subject);
        }
      }),
  },
  {
    section: 'Communication',
    name: 'more descriptors than any message has stop nothing',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using bench = await connect(subject);
        const { kick } = bench.queue(0).ring;
        const fds = new Array<Fd>(32).fill(kick.fd);
        sendRaw(bench.frontend, rawMessage({ request: 1 }), fds);
        await alive(bench);
      }),
  },
  {
    section: 'Multiple queue support',
    name: 'a vring that the device does not have is refused',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await eachRefused(subject, [subject.queues, 0xffff_ffff], (bench, index) =>
          bench.frontend.tell('VHOST_USER_SET_VRING_NUM', { index, num: 64 }),
        );
        await eachRefused(subject, [subject.queues, 0xffff_ffff], (bench, index) =>
          bench.frontend.tell('VHOST_USER_SET_VRING_ENABLE', { index, num: 1 }),
        );
        await eachRefused(subject, RING_DESCRIPTORS, (bench, name) => {
          const fds = [bench.queue(0).ring.kick.fd];
          return bench.frontend.tell(name, { index: 255, hasFd: true }, fds);
        });
        await using bench = await connect(subject);
        const state = { index: subject.queues, num: 0 };
        await bench.frontend.ask('VHOST_USER_GET_VRING_BASE', state).catch(() => undefined);
      }),
  },
  {
    section: 'Ring states',
    name: 'a descriptor that is no eventfd neither stops the daemon nor stays open',
    run: (subject) =>
      leavesNothing(subject, () =>
        withOthers(async (fds) => {
          for (const name of RING_DESCRIPTORS) {
            for (const fd of fds) {
              await using bench = await connect(subject);
              await bench.frontend.tell(name, { index: 0, hasFd: true }, [fd]).catch(() => 1);
              bench.queue(0).ring.kick.signal();
              await alive(bench);
            }
          }
        }),
      ),
  },
  {
    section: 'Memory regions description',
    name: 'a region that cannot be mapped is refused',
    run: (subject) =>
      leavesNothing(subject, () =>
        withOthers(async ([small, , directory, socket]) => {
          const region = { guestAddr: GUEST_BASE, userAddr: USER_BASE, mmapOffset: 0n };
          const size = 0x10_0000n;
          await eachRefused(subject, [directory, socket], (bench, fd) => {
            const fds = fd === undefined ? [] : [fd];
            return bench.frontend.tell('VHOST_USER_SET_MEM_TABLE', [{ ...region, size }], fds);
          });
          // Beyond the end of its file, and of the address space.
          await eachRefused(subject, [size, 1n << 62n], (bench, length) => {
            const fds = small === undefined ? [] : [small];
            const table = [{ ...region, size: length }];
            return bench.frontend.tell('VHOST_USER_SET_MEM_TABLE', table, fds);
          });
        }),
      ),
  },
  {
    section: 'A vring address description',
    name: 'a ring in no region is not served, and nothing is touched for it',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using bench = await connect(subject);
        const queue = bench.queue(subject.probe.queue);
        await queue.stop();
        for (const place of [0n, 0x10n, 0xffff_ffff_ffff_f000n, USER_BASE + (1n << 40n)]) {
          const addr = { ...queue.ring.addr, descTable: place, availRing: place, usedRing: place };
          await bench.frontend.tell('VHOST_USER_SET_VRING_ADDR', addr).catch(() => 1);
          if (!bench.frontend.connection.live) break;
          const { index, kick } = queue.ring;
          const state = { index, hasFd: true };
          await bench.frontend.tell('VHOST_USER_SET_VRING_KICK', state, [kick.fd]).catch(() => 1);
          kick.signal();
          if (!(await alive(bench))) break;
          await queue.stop().catch(() => 0);
        }
      }),
  },
];
