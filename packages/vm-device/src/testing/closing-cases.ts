import { equal } from 'node:assert/strict';
import { EventFd } from '@node-vmm/vmm-sys-util';
import {
  codeOf,
  LENGTH,
  NOTIFY,
  RecordingHandler,
  type VmComplianceCase,
} from './compliance-case.ts';

const section = 'closing';

export const closingCases: readonly VmComplianceCase[] = [
  {
    section,
    name: 'refuses everything once closed, and closes twice',
    async run({ vm, base, irq }) {
      const handler = new RecordingHandler();
      const eventfd = EventFd.create();
      const range = { space: 'memory', base, length: LENGTH } as const;
      const register = { guestAddr: base + NOTIFY, length: 4, datamatch: 0n } as const;
      const line = { kind: 'line', irq } as const;
      const open = [
        vm.map(range, handler),
        vm.ioeventfd(register, eventfd),
        vm.connectIrq(line).irqfd(eventfd),
      ];
      vm.close();
      vm.close();
      for (const wiring of open) wiring.close();
      for (const action of [
        () => vm.map(range, handler),
        () => vm.ioeventfd(register, eventfd),
        () => vm.connectIrq(line),
      ]) {
        equal(codeOf(action), 'CLOSED');
      }
      eventfd.close();
    },
  },
  {
    section,
    name: 'answers a vCPU that waits when the machine is closed',
    async run({ vm, guest, base }) {
      const handler = new RecordingHandler();
      handler.held = new Promise(() => undefined);
      vm.map({ space: 'memory', base, length: LENGTH }, handler);
      const write = guest.write(base, 4, 1n);
      await handler.accessed();
      vm.close();
      await write;
    },
  },
  {
    section,
    name: 'lowers every interrupt when it is closed',
    needs: 'interrupts',
    async run({ vm, guest, irq }) {
      const source = vm.connectIrq({ kind: 'line', irq });
      source.raise();
      equal(guest.takeInterrupt(irq), true);
      vm.close();
      equal(guest.takeInterrupt(irq), false);
      equal(
        codeOf(() => source.raise()),
        'CLOSED',
      );
      source.close();
    },
  },
];
