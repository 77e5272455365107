import { equal, ok } from 'node:assert/strict';
import { fstatSync } from 'node:fs';
import { hasProtocolFeature, type InflightArea } from '@node-vmm/vhost-user';
import { closeFds, dupFd, EventFd, type Fd, memfdCreate } from '@node-vmm/vmm-sys-util';
import type { DeviceBench } from '../device-bench.ts';
import { FrontEnd } from '../front-end.ts';
import { negotiate } from '../negotiate.ts';
import { until } from '../waiting.ts';
import {
  connect,
  type DeviceCase,
  type DeviceSubject,
  leavesNothing,
  probe,
  refused,
} from './subject.ts';

const QUEUE_SIZE = 128;

/** Connects with everything accepted that is offered. @returns undefined where no area is offered */
async function connectForArea(subject: DeviceSubject): Promise<DeviceBench | undefined> {
  const first = await connect(subject);
  let protocolFeatures: bigint;
  try {
    protocolFeatures = await first.frontend.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
  } finally {
    await first.close();
  }
  const offered = hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_INFLIGHT_SHMFD');
  return offered ? connect(subject, { protocolFeatures }) : undefined;
}

/** Asks for an area. @returns it and its file, which is the caller's */
async function ask(frontend: FrontEnd, numQueues: number): Promise<[InflightArea, Fd]> {
  const wish = { mmapSize: 0n, mmapOffset: 0n, numQueues, queueSize: QUEUE_SIZE };
  const { payload, fds } = await frontend.askForFds('VHOST_USER_GET_INFLIGHT_FD', wish);
  const [fd] = fds;
  ok(fd !== undefined, 'GET_INFLIGHT_FD was answered without a file');
  return [payload, fd];
}

/** Areas in which requests in flight are recorded: vhost-user.rst, "Inflight I/O tracking". */
export const inflightCases: readonly DeviceCase[] = [
  {
    section: 'VHOST_USER_GET_INFLIGHT_FD',
    name: 'an area for all queues is a file of the size that it says',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using bench = await connectForArea(subject);
        if (bench === undefined) return;
        const [area, fd] = await ask(bench.frontend, subject.queues);
        try {
          equal(area.numQueues, subject.queues);
          equal(area.queueSize, QUEUE_SIZE);
          // A head of 16 bytes and as much for each entry.
          const least = BigInt(subject.queues * 16 * (1 + QUEUE_SIZE));
          ok(area.mmapSize >= least, `${area.mmapSize} bytes, ${least} are the least`);
          const stat = fstatSync(fd, { bigint: true });
          ok(stat.isFile());
          ok(area.mmapOffset + area.mmapSize <= stat.size);
        } finally {
          closeFds([fd]);
        }
      }),
  },
  {
    section: 'VHOST_USER_SET_INFLIGHT_FD',
    name: 'rings that record their requests are served, also those that ran before',
    run: (subject) =>
      leavesNothing(subject, async () => {
        await using bench = await connectForArea(subject);
        if (bench === undefined) return;
        const { frontend } = bench;
        for (let round = 0; round < 3; round++) {
          // An area tells of one ring: with a new ring there is a new one.
          if (round > 0) await bench.queue(subject.probe.queue).restart();
          await probe(bench, subject);
          const [area, fd] = await ask(frontend, subject.queues);
          try {
            equal(await frontend.tell('VHOST_USER_SET_INFLIGHT_FD', area, [fd]), 0);
          } finally {
            closeFds([fd]);
          }
          await probe(bench, subject);
        }
      }),
  },
  {
    section: 'VHOST_USER_SET_INFLIGHT_FD',
    name: 'requests of a connection that ended are answered on the next, each once',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (let round = 0; round < 5; round++) await changeConnections(subject);
      }),
  },
  {
    section: 'VHOST_USER_SET_INFLIGHT_FD',
    name: 'an area that cannot be is refused',
    run: (subject) =>
      leavesNothing(subject, async () => {
        for (const spoil of SPOILS) {
          await using bench = await connectForArea(subject);
          if (bench === undefined) return;
          const [area, fd] = await ask(bench.frontend, subject.queues);
          const [bad, other = fd] = spoil(area);
          try {
            await refused(
              bench,
              bench.frontend.tell('VHOST_USER_SET_INFLIGHT_FD', { ...area, ...bad }, [other]),
            );
          } finally {
            closeFds(other === fd ? [fd] : [fd, other]);
          }
        }
      }),
  },
];

/** What is wrong, and the file that is sent, where it is another. */
const SPOILS: readonly ((area: InflightArea) => [Partial<InflightArea>, Fd?])[] = [
  () => [{ mmapSize: 64n }],
  ({ mmapSize }) => [{ mmapOffset: mmapSize }],
  () => [{ mmapOffset: (1n << 64n) - 4096n }],
  () => [{ mmapSize: (1n << 64n) - 1n }],
  () => [{ queueSize: 0 }],
  () => [{ queueSize: 0xffff }],
  () => [{ numQueues: 0xffff }],
  () => [{}, memfdCreate('too-small', 64)],
  () => [{}, eventFile()],
];

function eventFile(): Fd {
  const event = EventFd.create();
  try {
    return dupFd(event.fd);
  } finally {
    event.close();
  }
}

/** A front-end goes with requests in flight, and another comes for the same guest. */
async function changeConnections(subject: DeviceSubject): Promise<void> {
  await using bench = await connectForArea(subject);
  if (bench === undefined) return;
  const { frontend, guest, features, protocolFeatures } = bench;
  const { queue: index } = subject.probe;
  const queue = bench.queue(index);
  const { driver, call, kick } = queue.ring;
  const [area, fd] = await ask(frontend, subject.queues);
  const next = new FrontEnd(subject.socketPath);
  try {
    equal(await frontend.tell('VHOST_USER_SET_INFLIGHT_FD', area, [fd]), 0);
    const count = addAll(bench, subject);
    queue.publish();
    frontend.close();
    await negotiate(next, guest, { features, protocolFeatures });
    next.send('VHOST_USER_SET_INFLIGHT_FD', area, [fd]);
    // As QEMU has it: the base is the used index, and the record says what is to be added.
    queue.ring.setUp(next, driver.raw.usedIndex);
    equal(await queue.ring.enable(next), 0);
    kick.signal();
    let answered = 0;
    await until(() => {
      call.drain();
      // Throws at what was returned before.
      while (driver.poll() !== undefined) answered++;
      return answered >= count;
    });
    equal(
      await next.ask('VHOST_USER_GET_VRING_BASE', { index, num: 0 }).then(({ num }) => num),
      count,
    );
    equal(driver.raw.usedIndex, count);
  } finally {
    next.close();
    closeFds([fd]);
  }
}

function addAll(bench: DeviceBench, { probe: request }: DeviceSubject): number {
  const queue = bench.queue(request.queue);
  const buffers = request.readable.length + request.writable.length;
  const count = Math.floor(Math.min(32, queue.size / buffers));
  for (let i = 0; i < count; i++) {
    queue.add(request.readable, request.writable).catch(() => undefined);
  }
  return count;
}
