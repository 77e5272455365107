import { equal } from 'node:assert/strict';
import { EventFd } from '@node-vmm/vmm-sys-util';
import { codeOf, type VmComplianceCase } from './compliance-case.ts';

const INTERRUPTS = 10_000;
const common = { section: 'interrupts', needs: 'interrupts' } as const;

export const interruptCases: readonly VmComplianceCase[] = [
  {
    ...common,
    name: 'interrupts when an eventfd fires',
    async run({ vm, guest, irq, interruptsAssisted }) {
      const eventfd = EventFd.create();
      const source = vm.connectIrq({ kind: 'line', irq });
      let signals = 0;
      const wiring = source.irqfd(eventfd, () => {
        signals++;
        source.raise();
      });
      equal(wiring.kernelAssisted, interruptsAssisted);
      for (let round = 1; round <= 3; round++) {
        eventfd.signal();
        await guest.interrupt(irq);
        source.lower();
        equal(guest.takeInterrupt(irq), false);
      }
      equal(signals, interruptsAssisted ? 0 : 3);
      wiring.close();
      wiring.close();
      eventfd.signal();
      await new Promise(setImmediate);
      equal(eventfd.drain(), true);
      eventfd.close();
    },
  },
  {
    ...common,
    name: 'interrupts when an eventfd fires and nobody listens',
    async run({ vm, guest, irq }) {
      const eventfd = EventFd.create();
      eventfd.signal();
      vm.connectIrq({ kind: 'line', irq }).irqfd(eventfd);
      await guest.interrupt(irq);
      vm.close();
      eventfd.close();
    },
  },
  {
    ...common,
    name: 'interrupts when asked to, until nothing is pending',
    async run({ vm, guest, irq }) {
      const interrupt = { kind: 'line', irq } as const;
      const source = vm.connectIrq(interrupt);
      equal(source.interrupt, interrupt);
      equal(guest.takeInterrupt(irq), false);
      for (let round = 0; round < 2; round++) {
        source.raise();
        await guest.interrupt(irq);
        source.lower();
        source.lower();
        equal(guest.takeInterrupt(irq), false);
      }
    },
  },
  {
    ...common,
    name: 'loses nothing that comes while a driver serves',
    async run({ vm, guest, irq }) {
      const source = vm.connectIrq({ kind: 'line', irq });
      let lost = 0;
      for (let event = 0; event < INTERRUPTS; event += 2) {
        source.raise();
        if (!guest.takeInterrupt(irq)) lost++;
        // The driver has looked; what comes now it will not see before the next interrupt.
        source.raise();
        if (!guest.takeInterrupt(irq)) lost++;
        source.lower();
        if (guest.takeInterrupt(irq)) lost++;
      }
      equal(lost, 0);
    },
  },
  {
    ...common,
    name: 'shares an interrupt, or says that it cannot',
    async run({ vm, guest, irq, irqSharing }) {
      const line = { kind: 'line', irq } as const;
      const first = vm.connectIrq(line);
      equal(
        codeOf(() => vm.connectIrq(line).close()),
        irqSharing ? undefined : 'IRQ_IN_USE',
      );
      if (irqSharing) {
        const second = vm.connectIrq(line);
        first.raise();
        equal(guest.takeInterrupt(irq), true);
        second.raise();
        first.lower();
        equal(guest.takeInterrupt(irq), true);
        second.lower();
        equal(guest.takeInterrupt(irq), false);
        second.raise();
        first.close();
        equal(guest.takeInterrupt(irq), true);
        second.close();
      }
      first.close();
      const next = vm.connectIrq(line);
      equal(guest.takeInterrupt(irq), false);
      next.raise();
      equal(guest.takeInterrupt(irq), true);
    },
  },
  {
    ...common,
    name: 'leaves nothing pending when a device is taken off',
    async run({ vm, guest, irq }) {
      const eventfd = EventFd.create();
      const source = vm.connectIrq({ kind: 'line', irq });
      source.irqfd(eventfd);
      source.raise();
      equal(guest.takeInterrupt(irq), true);
      source.close();
      source.close();
      source.lower();
      equal(guest.takeInterrupt(irq), false);
      equal(
        codeOf(() => source.raise()),
        'CLOSED',
      );
      equal(
        codeOf(() => source.irqfd(eventfd)),
        'CLOSED',
      );
      eventfd.signal();
      await new Promise(setImmediate);
      equal(eventfd.drain(), true);
      eventfd.close();
    },
  },
  {
    section: 'interrupts',
    name: 'refuses an interrupt that the guest does not have',
    async run({ vm }) {
      for (const irq of [-1, 0.5, 5000]) {
        equal(
          codeOf(() => vm.connectIrq({ kind: 'line', irq })),
          'BAD_IRQ',
        );
      }
    },
  },
  {
    ...common,
    name: 'interrupts by messages, or says that it has none',
    async run({ vm, guest, irq, message, interruptsAssisted }) {
      const interrupt = { kind: 'message', address: 0xfee0_0000n, data: 0x41, ...message } as const;
      if (message === undefined) {
        equal(
          codeOf(() => vm.connectIrq(interrupt)),
          'NOT_SUPPORTED',
        );
        return;
      }
      const source = vm.connectIrq(interrupt);
      equal(source.interrupt, interrupt);
      equal(guest.takeInterrupt(irq), false);
      source.raise();
      equal(guest.takeInterrupt(irq), true);
      source.lower();
      equal(guest.takeInterrupt(irq), false);
      const eventfd = EventFd.create();
      const wiring = source.irqfd(eventfd);
      equal(wiring.kernelAssisted, interruptsAssisted);
      eventfd.signal();
      await guest.interrupt(irq);
      // The same message from another device is another interrupt.
      const other = vm.connectIrq(interrupt);
      other.raise();
      equal(guest.takeInterrupt(irq), true);
      source.close();
      source.close();
      equal(
        codeOf(() => source.raise()),
        'CLOSED',
      );
      eventfd.signal();
      await new Promise(setImmediate);
      equal(eventfd.drain(), true);
      eventfd.close();
    },
  },
  {
    section: 'interrupts',
    name: 'refuses a message that no guest can be sent',
    async run({ vm, message }) {
      const nowhere = { kind: 'message', address: 0x10_0000n, data: 0x41 } as const;
      equal(
        codeOf(() => vm.connectIrq(nowhere)),
        message === undefined ? 'NOT_SUPPORTED' : 'BAD_IRQ',
      );
    },
  },
];
