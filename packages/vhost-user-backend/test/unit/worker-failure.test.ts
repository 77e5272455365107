import { MessageChannel } from 'node:worker_threads';
import { EventFd, ThreadInterrupt } from '@node-vmm/vmm-sys-util';
import { expect, it } from 'vitest';
import { createEventFlow } from '../../src/between/event-flow.ts';
import { HostThreads } from '../../src/control/host-threads.ts';
import { threadEntry } from '../../src/control/thread-entry.ts';
import { WorkerThread } from '../../src/control/worker-thread.ts';
import { VhostUserBackendError, VhostUserDaemon } from '../../src/index.ts';
import {
  FrontEnd,
  Guest,
  GuestRing,
  MemoryLogger,
  negotiate,
  openFds,
  Sockets,
  until,
} from '../../src/testing/index.ts';

const SUICIDE = new URL(
  `data:text/javascript,${encodeURIComponent(`
    export const createDevice = () => ({
      features: 0n, queueMaxSizes: [64], process() { process.exit(5); }, [Symbol.dispose]() {},
    });`)}`,
);

it('a worker thread that ends by itself takes its devices with it, and nobody hangs', async () => {
  const sockets = new Sockets();
  const daemon = new VhostUserDaemon({ logger: new MemoryLogger() });
  const socketPath = sockets.path();
  const device = await daemon.addDevice({ name: 'suicide', module: SUICIDE, socketPath });
  const frontEnd = new FrontEnd(socketPath);
  const guest = new Guest();
  const ring = new GuestRing(guest);
  await negotiate(frontEnd, guest);
  ring.setUp(frontEnd);
  expect(await ring.enable(frontEnd)).toBe(0);
  ring.submit([1]);
  expect(await daemon.failure).toMatchObject({ code: 'WORKER_FAILED' });
  expect(await frontEnd.closed).toBe('peer-closed');
  expect((await device.status()).state).toBe('failed');
  const late = await daemon.addDevice({
    name: 'late',
    module: SUICIDE,
    socketPath: sockets.path(),
  });
  expect((await late.status()).state).toBe('listening');
  await daemon.close();
  frontEnd.close();
  ring.close();
  guest.close();
  sockets.close();
});

it('a thread that is being ended refuses only when it has ended: memory is unmapped then', async () => {
  const events = {
    deviceWaits: () => undefined,
    deviceHangs: () => undefined,
  };
  const entry = threadEntry(undefined);
  const interrupt = ThreadInterrupt.install();
  const thread = new WorkerThread('ending', entry, interrupt, events, () => undefined);
  const module = new URL('../fixtures/stuck-device.mjs', import.meta.url).href;
  const options = { createDevice: 'loop' };
  const order: string[] = [];
  const told = (what: string) => () => void order.push(what);
  void thread.ended.then(told('ended'));
  const one = { instance: 0, instances: 1, shared: undefined };
  const outside = { events: createEventFlow(), state: undefined };
  const params = { ...one, ...outside, name: 'loops', module, options };
  const made = thread.call(3, 'make', params).catch(told('not made'));
  await until(() => thread.running === 3);
  thread.terminate(new VhostUserBackendError('DEVICE_HANGS', 'it loops'));
  await thread.call(3, 'reset', { closing: false }).catch(told('refused'));
  await made;
  expect(order.toSorted()).toEqual(['ended', 'not made', 'refused']);
  expect(order.indexOf('refused')).toBeGreaterThan(order.indexOf('ended'));
});

/** Of a kind of which Node makes no thread. */
const REFUSED = new URL('https://example.org/entry.js');

it('a worker thread that cannot be made leaves no descriptor', async () => {
  const interrupt = ThreadInterrupt.install();
  const events = { deviceWaits: () => undefined, deviceHangs: () => undefined };
  const before = openFds();
  for (let i = 0; i < 4; i++) {
    expect(() => new WorkerThread('none', REFUSED, interrupt, events, () => undefined)).toThrow(
      /URL/,
    );
  }
  expect(openFds()).toBe(before);
});

it('a daemon that can have no thread says so for each device, and has nothing of it', async () => {
  const sockets = new Sockets();
  const daemon = new VhostUserDaemon({ logger: new MemoryLogger(), threadModule: REFUSED });
  const add = (name: string) =>
    daemon.addDevice({ name, module: SUICIDE, socketPath: sockets.path() });
  await expect(add('first')).rejects.toThrow(/URL/);
  const before = openFds();
  for (const name of ['second', 'third']) await expect(add(name)).rejects.toThrow(/URL/);
  expect(openFds()).toBe(before);
  await daemon.close();
  sockets.close();
});

it('a host thread that cannot be made leaves no descriptor of the connection, and that is said', async () => {
  const hosts = new HostThreads(REFUSED, new MemoryLogger());
  const before = openFds();
  const lost: string[] = [];
  for (const key of ['a', 'b']) {
    const { port1, port2 } = new MessageChannel();
    // The thread's, as a worker gives it.
    const wake = EventFd.create();
    const request = {
      type: 'connectHost',
      seat: 0,
      link: 0,
      key,
      module: 'x',
      options: {},
    } as const;
    hosts.connect({ ...request, port: port2, wakeFd: wake.fd }, async ({ message }) => {
      lost.push(message);
    });
    port1.close();
  }
  await until(() => openFds() === before);
  expect(lost).toEqual([expect.stringMatching(/URL/), expect.stringMatching(/URL/)]);
  expect(hosts.count).toBe(0);
});
