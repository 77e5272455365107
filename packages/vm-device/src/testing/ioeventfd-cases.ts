import { deepEqual, equal } from 'node:assert/strict';
import { EventFd } from '@node-vmm/vmm-sys-util';
import {
  codeOf,
  LENGTH,
  NOTIFY,
  RecordingHandler,
  signalled,
  type VmComplianceCase,
} from './compliance-case.ts';

const section = 'ioeventfds';

export const ioeventfdCases: readonly VmComplianceCase[] = [
  {
    section,
    name: 'signals an eventfd for the queue that is notified',
    async run({ vm, guest, base, kernelAssisted }) {
      const handler = new RecordingHandler();
      const guestAddr = base + NOTIFY;
      vm.map({ space: 'memory', base, length: LENGTH }, handler);
      const eventfds = [EventFd.create(), EventFd.create()] as const;
      const wirings = eventfds.map((eventfd, queue) =>
        vm.ioeventfd({ guestAddr, length: 4, datamatch: BigInt(queue) }, eventfd),
      );
      deepEqual(
        wirings.map((wiring) => wiring.kernelAssisted),
        [kernelAssisted, kernelAssisted],
      );
      await guest.write(guestAddr, 4, 1n);
      await signalled(eventfds[1]);
      equal(eventfds[0].drain(), false);
      await guest.write(guestAddr, 4, 2n);
      await guest.write(base + 0x70n, 4, 1n);
      deepEqual(handler.accesses, ['write 80/4=2', 'write 112/4=1']);
      wirings[1]?.close();
      wirings[1]?.close();
      await guest.write(guestAddr, 4, 1n);
      equal(handler.accesses.at(-1), 'write 80/4=1');
      await guest.write(guestAddr, 4, 0n);
      await signalled(eventfds[0]);
      for (const wiring of wirings) wiring.close();
      for (const eventfd of eventfds) eventfd.close();
    },
  },
  {
    section,
    name: 'refuses an ioeventfd outside windows and one that is taken',
    async run({ vm, base }) {
      const eventfd = EventFd.create();
      const other = EventFd.create();
      const wire = (offset: bigint, datamatch: bigint): unknown =>
        codeOf(() => vm.ioeventfd({ guestAddr: base + offset, length: 4, datamatch }, other));
      equal(wire(NOTIFY, 0n), 'NOT_MAPPED');
      vm.map({ space: 'memory', base, length: LENGTH }, new RecordingHandler());
      vm.ioeventfd({ guestAddr: base + NOTIFY, length: 4, datamatch: 0n }, eventfd);
      equal(wire(NOTIFY, 0n), 'IOEVENTFD_IN_USE');
      equal(wire(0x1fen, 0n), 'NOT_MAPPED');
      vm.close();
      eventfd.close();
      other.close();
    },
  },
];
