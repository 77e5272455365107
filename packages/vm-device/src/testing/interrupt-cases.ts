import { EventFd } from '@node-vmm/vmm-sys-util';
import type { Scenario, VmTestFunctions } from './vm-compliance.ts';

const INTERRUPTS = 10_000;

/** The code of the error that an action throws. */
export function codeOf(action: () => unknown): unknown {
  try {
    action();
    return undefined;
  } catch (error) {
    return (error as { code?: unknown }).code;
  }
}

/** What the interrupts of every `Vm` do. */
export function describeInterrupts(scenario: Scenario, expect: VmTestFunctions['expect']): void {
  scenario('interrupts when an eventfd fires', async ({ vm, guest, irq, interruptsAssisted }) => {
    const eventfd = EventFd.create();
    const source = vm.connectIrq(irq);
    let signals = 0;
    const wiring = source.irqfd(eventfd, () => {
      signals++;
      source.raise();
    });
    expect(wiring.kernelAssisted).toBe(interruptsAssisted);
    for (let round = 1; round <= 3; round++) {
      eventfd.signal();
      await guest.interrupt(irq);
      source.lower();
      expect(guest.takeInterrupt(irq)).toBe(false);
    }
    expect(signals).toBe(interruptsAssisted ? 0 : 3);
    wiring.close();
    wiring.close();
    eventfd.signal();
    await new Promise(setImmediate);
    expect(eventfd.drain()).toBe(true);
    eventfd.close();
  });

  scenario('interrupts when an eventfd fires and nobody listens', async ({ vm, guest, irq }) => {
    const eventfd = EventFd.create();
    eventfd.signal();
    vm.connectIrq(irq).irqfd(eventfd);
    await guest.interrupt(irq);
    vm.close();
    eventfd.close();
  });

  scenario('interrupts when asked to, until nothing is pending', async ({ vm, guest, irq }) => {
    const source = vm.connectIrq(irq);
    expect(source.irq).toBe(irq);
    expect(guest.takeInterrupt(irq)).toBe(false);
    for (let round = 0; round < 2; round++) {
      source.raise();
      await guest.interrupt(irq);
      source.lower();
      source.lower();
      expect(guest.takeInterrupt(irq)).toBe(false);
    }
  });

  scenario('loses nothing that comes while a driver serves', async ({ vm, guest, irq }) => {
    const source = vm.connectIrq(irq);
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
    expect(lost).toBe(0);
  });

  scenario('shares an interrupt, or says that it cannot', async (subject) => {
    const { vm, guest, irq, irqSharing } = subject;
    const first = vm.connectIrq(irq);
    expect(codeOf(() => vm.connectIrq(irq).close())).toBe(irqSharing ? undefined : 'IRQ_IN_USE');
    if (irqSharing) {
      const second = vm.connectIrq(irq);
      first.raise();
      expect(guest.takeInterrupt(irq)).toBe(true);
      second.raise();
      first.lower();
      expect(guest.takeInterrupt(irq)).toBe(true);
      second.lower();
      expect(guest.takeInterrupt(irq)).toBe(false);
      second.raise();
      first.close();
      expect(guest.takeInterrupt(irq)).toBe(true);
      second.close();
    }
    first.close();
    const next = vm.connectIrq(irq);
    expect(guest.takeInterrupt(irq)).toBe(false);
    next.raise();
    expect(guest.takeInterrupt(irq)).toBe(true);
  });

  scenario('leaves nothing pending when a device is taken off', async ({ vm, guest, irq }) => {
    const eventfd = EventFd.create();
    const source = vm.connectIrq(irq);
    source.irqfd(eventfd);
    source.raise();
    expect(guest.takeInterrupt(irq)).toBe(true);
    source.close();
    source.close();
    source.lower();
    expect(guest.takeInterrupt(irq)).toBe(false);
    expect(codeOf(() => source.raise())).toBe('CLOSED');
    expect(codeOf(() => source.irqfd(eventfd))).toBe('CLOSED');
    eventfd.signal();
    await new Promise(setImmediate);
    expect(eventfd.drain()).toBe(true);
    eventfd.close();
  });

  scenario('lowers every interrupt when it is closed', async ({ vm, guest, irq }) => {
    const source = vm.connectIrq(irq);
    source.raise();
    expect(guest.takeInterrupt(irq)).toBe(true);
    vm.close();
    expect(guest.takeInterrupt(irq)).toBe(false);
    expect(codeOf(() => source.raise())).toBe('CLOSED');
    expect(codeOf(() => vm.connectIrq(irq))).toBe('CLOSED');
    source.close();
  });

  scenario('refuses an interrupt that the guest does not have', async ({ vm }) => {
    for (const irq of [-1, 0.5, 5000]) expect(codeOf(() => vm.connectIrq(irq))).toBe('BAD_IRQ');
  });
}
