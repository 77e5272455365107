import { readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { Worker } from 'node:worker_threads';
import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import * as d from '@node-vmm/virtio-device';
import { DispatchThread } from '@node-vmm/vm-dispatch';
import {
  dupFd,
  EventFd,
  type Fd,
  MainPoller,
  setNonBlocking,
  writeFd,
} from '@node-vmm/vmm-sys-util';
import { MemoryLogger } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { BASE, Bench, until } from '../harness.ts';

const require = createRequire(import.meta.url);
const built = (path: string): string =>
  pathToFileURL(require.resolve(`@node-vmm/ioreq-eventfd/package.json`)).href.replace(
    'package.json',
    `dist/${path}`,
  );
const ACKNOWLEDGED = d.VIRTIO_CONFIG_S_ACKNOWLEDGE;
const openFds = (): number => readdirSync('/proc/self/fd').length;
const RANGE = { space: 'memory', base: BASE, length: 0x200 } as const;

describe('a dispatch thread', () => {
  const poller = new MainPoller();
  let logger: MemoryLogger;
  let thread: DispatchThread;

  beforeEach(async () => {
    logger = new MemoryLogger();
    thread = await DispatchThread.start({ poller, logger });
  });

  afterEach(async () => {
    thread.close();
    await thread.ended;
  });

  it('reads no eventfd by which vCPUs post, so that nobody who has it can make the thread wait', () => {
    using bench = new Bench(thread);
    const { machine, fds } = bench.vm.guestResources();
    using request = EventFd.fromFd(dupFd(fds[machine.vcpus[0]?.requestFd ?? -1] as Fd));
    setNonBlocking(request.fd, false);
    for (let i = 0; i < 3; i++)
      expect(bench.read(d.VIRTIO_MMIO_MAGIC_VALUE)).toBe(d.VIRTIO_MMIO_MAGIC);
    setNonBlocking(request.fd, true);
    expect(request.drain()).toBe(true);
    expect(bench.read(d.VIRTIO_MMIO_STATUS)).toBe(0);
  });

  it('serves a guest while another makes accesses without end', async () => {
    using flooding = new Bench(thread, {}, { vcpus: 4 });
    using quiet = new Bench(thread);
    const { machine, fds } = flooding.vm.guestResources();
    const rounds = new Int32Array(new SharedArrayBuffer(4 * 4));
    const code = `
      import { workerData } from 'node:worker_threads';
      import { SimulatedGuest } from '${built('simulated.js')}';
      const { machine, fds, vcpu, rounds, base } = workerData;
      const guest = new SimulatedGuest(machine, fds, { vcpu });
      while (Atomics.load(rounds, vcpu) >= 0) {
        guest.write(base, 4, 1n);
        guest.read(base + 0x1000n, 8);
        Atomics.add(rounds, vcpu, 1);
      }
      guest.close();
    `;
    const workers = [0, 1, 2, 3].map(
      (vcpu) =>
        new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
          workerData: { machine, fds, vcpu, rounds, base: BASE },
          execArgv: [],
          trackUnmanagedFds: false,
        }),
    );
    const exits = workers.map((worker) => new Promise((resolve) => worker.on('exit', resolve)));
    await until(() => rounds.every((count) => count > 0));
    const before = rounds.slice();
    for (let i = 0; i < 500; i++) {
      expect(quiet.read(d.VIRTIO_MMIO_MAGIC_VALUE)).toBe(d.VIRTIO_MMIO_MAGIC);
    }
    await until(() => rounds.every((count, vcpu) => count > (before[vcpu] as number)));
    for (const vcpu of rounds.keys()) Atomics.store(rounds, vcpu, -0x4000_0000);
    await Promise.all(exits);
    expect(flooding.dispatched.counters.readOnly).toBeGreaterThan(0);
  });

  it('that dies is said, and its guests are answered here from then on', async () => {
    using vm = SimulatedVm.create({ poller, host: thread }, { vcpus: 2 });
    using guest = new SimulatedTestGuest(vm.guestResources());
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const accesses: bigint[] = [];
    vm.map(RANGE, {
      read: () => 7n,
      write: (_offset, _size, value) => {
        accesses.push(value);
        return accesses.length === 1 ? held : undefined;
      },
    });
    using other = new Bench(thread);
    other.write(d.VIRTIO_MMIO_STATUS, ACKNOWLEDGED);
    const waiting = guest.write(BASE, 4, 1n);
    await until(() => accesses.length === 1);
    await until(() => vm.held.now === 1);
    // Something that no thread of ours can be told.
    const page = { pointer: 0n, length: 0 } as never;
    const server = { run: () => undefined };
    const ends = { kind: 'eventfds', vcpus: [], lines: [] } as const;
    const rest = { ends, spaces: [], answerLimit: 1, server, gone: () => undefined };
    thread.seat({ name: 'wrong', page, vcpus: 0, carrierOf: () => 'message', ...rest });
    await thread.ended;
    await waiting;
    // It was taken anew; nobody holds it.
    expect(vm.held.now).toBe(0);
    expect(await guest.read(BASE, 4, { vcpu: 1 })).toBe(7n);
    expect(logger.saying('a dispatch thread has ended')).toHaveLength(1);
    expect(logger.find('has ended')?.context).toMatchObject({ guests: 3 });
    expect(() => SimulatedVm.create({ poller, host: thread })).toThrow(
      expect.objectContaining({ code: 'CLOSED' }),
    );
    // A device whose registers were there is gone; what they were is known, for whoever goes on with it.
    using gone = new SimulatedTestGuest(other.vm.guestResources());
    expect(await gone.read(BASE, 4)).toBe(0n);
    expect(await other.dispatched.state()).toMatchObject({ status: ACKNOWLEDGED });
    release();
  });

  it('waits for no back-end that makes a kick blocking', async () => {
    using b = new Bench(thread);
    using quiet = new Bench(thread);
    const kick = EventFd.create();
    let stalls = 0;
    const signal = (): boolean => false;
    kick.share({ signal }, () => {
      stalls++;
    });
    b.vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: 0n }, kick);
    // The thread has the wiring by now.
    expect(b.read(d.VIRTIO_MMIO_VERSION)).toBe(2);
    writeFd(kick.fd, BigUint64Array.of(0xffff_ffff_ffff_fffen), 8);
    setNonBlocking(kick.fd, false);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    b.write(d.VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    expect(quiet.read(d.VIRTIO_MMIO_VERSION)).toBe(2);
    await until(() => stalls === 1);
    setNonBlocking(kick.fd, true);
    b.vm.close();
    kick.close();
  });

  it('leaves nothing open of guests that come and go', async () => {
    const one = (): void => {
      using b = new Bench(thread);
      const kick = EventFd.create();
      b.vm.ioeventfd({ guestAddr: BASE + 0x50n, length: 4, datamatch: 0n }, kick);
      b.dispatched.irqfd(kick);
      expect(b.read(d.VIRTIO_MMIO_VERSION)).toBe(2);
      b.vm.close();
      kick.close();
    };
    one();
    const before = openFds();
    for (let i = 0; i < 20; i++) one();
    expect(openFds()).toBe(before);
  });

  it('stops taking accesses when asked to, and takes those of meanwhile afterwards', async () => {
    using b = new Bench(thread);
    using guest = new SimulatedTestGuest(b.vm.guestResources());
    await b.vm.keep();
    let answered = false;
    const read = guest.read(BASE, 4).then((value) => {
      answered = true;
      return value;
    });
    using other = new Bench(thread);
    expect(other.read(d.VIRTIO_MMIO_VERSION)).toBe(2);
    expect(answered).toBe(false);
    b.vm.takeUp();
    expect(Number(await read)).toBe(d.VIRTIO_MMIO_MAGIC);
  });
});
