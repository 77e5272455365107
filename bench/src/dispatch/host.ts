// Serves the guests of the benchmark with what node-vmm has, as the dispatcher in C does. Arguments: guests, threads,
// and the threads' priority, if not the usual one; with 0 threads the main thread serves, as it does where a machine has
// no `host`. Says "ready", and serves until it is killed.
import {
  AccessRequest,
  type HostedGuest,
  IoreqDispatcher,
  IoreqPage,
} from '@node-vmm/ioreq-eventfd';
import { VIRTIO_MMIO_WINDOW_SIZE, VirtioMmioTransport } from '@node-vmm/virtio-device';
import { Bus } from '@node-vmm/vm-device';
import { DispatchedDevice, DispatchThread } from '@node-vmm/vm-dispatch';
import { asFd, EventFd, MainPoller, Mapping, PAGE_SIZE, type Watch } from '@node-vmm/vmm-sys-util';
import { quietDevice } from './device.ts';
import { BASE, fromOrder } from './guests.ts';

const [guests = 0, threads = 0, nice] = process.argv.slice(2).map(Number);
const IRQ = 33;
const NOTIFY = { guestAddr: BASE + 0x50n, length: 4, datamatch: 0n } as const;
const WINDOW = { space: 'memory', base: BASE, length: VIRTIO_MMIO_WINDOW_SIZE } as const;

const { pages, vcpus, ...fds } = fromOrder(guests, (place) => asFd(3 + place));
const poller = new MainPoller();
const line = EventFd.fromFd(fds.line);
const kick = EventFd.fromFd(fds.kick);
const call = EventFd.fromFd(fds.call);
/** What is watched for as long as the process lives. */
const watches: Watch[] = [];
const page = (guest: number): Mapping =>
  Mapping.create({ length: PAGE_SIZE, fd: pages, offset: guest * PAGE_SIZE });
const noMemory = (): never => {
  throw new Error('no guest memory here');
};

function serveHere(guest: number): void {
  const bus = new Bus('memory');
  const { requestFd, answerFd } = vcpus[guest] as (typeof vcpus)[number];
  const [request, answer] = [EventFd.fromFd(requestFd), EventFd.fromFd(answerFd)];
  const transport = new VirtioMmioTransport(quietDevice, { interrupt: () => line.signal() });
  bus.map(WINDOW, transport);
  const dispatcher = new IoreqDispatcher({
    page: new IoreqPage(page(guest).buffer(), 1),
    server: new AccessRequest({ memory: bus }, noMemory),
    notify: () => answer.signal(),
  });
  watches.push(
    poller.watch(request.fd, { readable: true }, () => {
      request.drain();
      dispatcher.service(0);
    }),
  );
  if (guest > 0) return;
  bus.addIoeventfd(NOTIFY, kick);
  watches.push(
    poller.watch(call.fd, { readable: true }, () => {
      if (call.drain()) transport.queueInterrupt();
    }),
  );
}

function serveThere(thread: DispatchThread, guest: number): void {
  const hosted: HostedGuest = {
    name: `guest ${guest}`,
    page: page(guest),
    vcpus: 1,
    ends: {
      kind: 'eventfds',
      vcpus: [vcpus[guest] as (typeof vcpus)[number]],
      lines: [{ irq: IRQ, fd: line.fd }],
    },
    carrierOf: () => 'message',
    spaces: [],
    answerLimit: 10_000,
    server: new AccessRequest({ memory: new Bus('memory') }, noMemory),
    gone: () => process.exit(1),
  };
  const seat = thread.seat(hosted);
  const device = new DispatchedDevice(quietDevice, { irq: IRQ });
  seat.map(WINDOW, device);
  if (guest > 0) return;
  seat.ioeventfd(NOTIFY, kick);
  device.irqfd(call);
}

if (threads === 0) {
  for (let guest = 0; guest < guests; guest++) serveHere(guest);
} else {
  const started = await Promise.all(
    Array.from({ length: threads }, (_, n) =>
      DispatchThread.start(
        { poller },
        { name: `dispatch ${n}`, ...(nice === undefined ? {} : { nice }) },
      ),
    ),
  );
  for (let guest = 0; guest < guests; guest++) {
    serveThere(started[guest % threads] as DispatchThread, guest);
  }
}
process.stdout.write('ready\n');
