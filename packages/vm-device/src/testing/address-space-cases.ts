import { deepEqual, equal } from 'node:assert/strict';
import { EventFd } from '@node-vmm/vmm-sys-util';
import type { AddressSpace } from '../address-space.ts';
import {
  codeOf,
  LENGTH,
  RecordingHandler,
  signalled,
  type VmComplianceCase,
} from './compliance-case.ts';

const section = 'address spaces';

export const addressSpaceCases: readonly VmComplianceCase[] = [
  {
    section,
    name: 'serves I/O ports, or says that it has none',
    needs: 'ports',
    async run({ vm, guest, base, port }) {
      const handler = new RecordingHandler();
      const window = { space: 'port', base: port ?? 0x600n, length: 16 } as const;
      if (port === undefined) {
        equal(
          codeOf(() => vm.map(window, handler)),
          'NOT_SUPPORTED',
        );
        return;
      }
      const ports = { space: 'port' } as const;
      const wiring = vm.map(window, handler);
      // The same number in another space is another place.
      const memory = new RecordingHandler();
      vm.map({ space: 'memory', base, length: LENGTH }, memory);
      equal(await guest.read(port + 1n, 1, ports), 0x88n);
      equal(await guest.read(port + 4n, 4, ports), 0x5566_7788n);
      await guest.write(port + 14n, 2, 0xabcdn, ports);
      deepEqual(handler.accesses, ['read 1/1', 'read 4/4', 'write 14/2=43981']);
      deepEqual(memory.accesses, []);
      equal(
        codeOf(() => vm.map({ ...window, base: port + 8n }, handler)),
        'RANGE_IN_USE',
      );
      equal(
        codeOf(() => vm.map({ ...window, base: 0xfff8n }, handler)),
        'BAD_RANGE',
      );
      wiring.close();
      equal(await guest.read(port, 2, ports), 0xffffn);
    },
  },
  {
    section,
    name: 'signals an eventfd for a write to a port, where it has ports',
    needs: 'ports',
    async run({ vm, guest, port }) {
      const eventfd = EventFd.create();
      const match = { space: 'port', guestAddr: port ?? 0x600n, length: 2 } as const;
      if (port === undefined) {
        equal(
          codeOf(() => vm.ioeventfd(match, eventfd)),
          'NOT_SUPPORTED',
        );
      } else {
        const handler = new RecordingHandler();
        equal(
          codeOf(() => vm.ioeventfd(match, eventfd)),
          'NOT_MAPPED',
        );
        vm.map({ space: 'port', base: port, length: 16 }, handler);
        vm.ioeventfd({ ...match, datamatch: 3n }, eventfd);
        await guest.write(port, 2, 2n, { space: 'port' });
        await guest.write(port, 2, 3n, { space: 'port' });
        await signalled(eventfd);
        deepEqual(handler.accesses, ['write 0/2=2']);
      }
      vm.close();
      eventfd.close();
    },
  },
  {
    section,
    name: 'refuses address spaces that it does not have',
    async run({ vm, port }) {
      const absent: AddressSpace[] = port === undefined ? ['port', 'pci-config'] : ['pci-config'];
      for (const space of absent) {
        const window = { space, base: 0x1000n, length: 0x100 };
        equal(
          codeOf(() => vm.map(window, new RecordingHandler())),
          'NOT_SUPPORTED',
        );
      }
    },
  },
];
