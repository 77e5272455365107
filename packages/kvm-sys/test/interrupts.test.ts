import { EventFd } from '@node-vmm/vmm-sys-util';
import { afterEach, describe, expect, it } from 'vitest';
import { assemble, type Code, SHOW_MMIO } from './fixtures/code.ts';
import { signals } from './fixtures/signals.ts';
import { type RunningVcpu, TestGuest, unavailable } from './fixtures/test-guest.ts';

const READY = 'write d0010 01';
const INTERRUPT = 'write d0011 02';
const HANDLER_AT = 0x1800;

const WAIT: Code = [
  ['fb', 'sti'],
  ['f4', 'hlt'],
  ['ebfd', 'jmp back to hlt'],
];

/** Real mode: interrupts of the first PIC are vectors from 0x20 on, all but line 5 are masked. */
const PIC_GUEST: Code = [
  ...SHOW_MMIO,
  ['b011e620', 'mov al, 0x11; out 0x20, al'],
  ['b020e621', 'mov al, 0x20; out 0x21, al'],
  ['b004e621', 'mov al, 0x04; out 0x21, al'],
  ['b001e621', 'mov al, 0x01; out 0x21, al'],
  ['b0dfe621', 'mov al, 0xdf; out 0x21, al'],
  ['c606100001', 'mov byte [0x10], 1'],
  ...WAIT,
];
/** The same, line 5 being a level. */
const LEVEL_GUEST: Code = [
  ['bad004', 'mov dx, 0x4d0'],
  ['b020', 'mov al, 0x20'],
  ['ee', 'out dx, al'],
  ...PIC_GUEST,
];
const PIC_HANDLER: Code = [
  ['c606110002', 'mov byte [0x11], 2'],
  ['b020e620', 'mov al, 0x20; out 0x20, al'],
  ['cf', 'iret'],
];

/** 32-bit protected mode: enables the local APIC. */
const APIC_GUEST: Code = [
  ['c705f000e0feff010000', 'mov dword [0xfee000f0], 0x1ff'],
  ['c60510000d0001', 'mov byte [0xd0010], 1'],
  ...WAIT,
];
const APIC_HANDLER: Code = [
  ['c60511000d0002', 'mov byte [0xd0011], 2'],
  ['c705b000e0fe00000000', 'mov dword [0xfee000b0], 0'],
  // No iretd: a KVM that emulates privileged instructions does not know it in this mode.
  ['83c40c', 'add esp, 12'],
  ...WAIT,
];
const GDT_AT = 0x5000;
const IDT_AT = 0x6000;
const VECTOR = 0x40;

let made: TestGuest | undefined;
afterEach(async () => {
  await made?.close();
  made = undefined;
});

const interrupts = ({ accesses }: RunningVcpu): number =>
  accesses.filter((access) => access === INTERRUPT).length;

function picGuest(code: Code): TestGuest {
  made = new TestGuest({ code, irqchip: true });
  made.bytes.set(assemble(PIC_HANDLER), HANDLER_AT);
  // The vector's offset and segment.
  made.bytes.set([HANDLER_AT & 0xff, HANDLER_AT >> 8, 0, 0], 0x25 * 4);
  return made;
}

async function apicGuest(): Promise<{ guest: TestGuest; running: RunningVcpu }> {
  made = new TestGuest({ code: APIC_GUEST, irqchip: true });
  made.bytes.set(assemble(APIC_HANDLER), HANDLER_AT);
  // Code and data, flat: base 0, limit 4 GiB, 32 bits.
  made.bytes.set(Buffer.from('ffff0000009acf00ffff00000092cf00', 'hex'), GDT_AT + 8);
  made.bytes.set([HANDLER_AT & 0xff, HANDLER_AT >> 8, 8, 0, 0, 0x8e, 0, 0], IDT_AT + VECTOR * 8);
  const flat = {
    gdt: { base: BigInt(GDT_AT), limit: 23 },
    idt: { base: BigInt(IDT_AT), limit: 0x7ff },
  };
  const running = made.run(0, { flat, cpuid: made.kvm.supportedCpuid() });
  await expect.poll(() => running.accesses).toContain(READY);
  return { guest: made, running };
}

describe.skipIf(unavailable)(`interrupts of a guest ${unavailable ?? 'on /dev/kvm'}`, () => {
  it('an irqfd is an edge for each signal that the guest has taken', async () => {
    const guest = picGuest(PIC_GUEST);
    using eventfd = EventFd.create();
    const assignment = guest.vm.irqfd({ gsi: 5, eventfd });
    const running = guest.run();
    await expect.poll(() => running.accesses).toContain(READY);
    for (const count of [1, 2, 3]) {
      eventfd.signal();
      await expect.poll(() => interrupts(running)).toBe(count);
    }
    assignment.close();
    assignment.close();
    eventfd.signal();
    guest.vm.irqLine(5, 1);
    guest.vm.irqLine(5, 0);
    await expect.poll(() => interrupts(running)).toBe(4);
    // Nobody has taken the signal that came after the end of the assignment.
    expect(signals(eventfd)).toBe(1n);
  });

  it('a level goes down by the acknowledgement, of which an eventfd hears', async () => {
    const guest = picGuest(LEVEL_GUEST);
    using eventfd = EventFd.create();
    using resample = EventFd.create();
    guest.vm.irqfd({ gsi: 5, eventfd, resample });
    const running = guest.run();
    await expect.poll(() => running.accesses).toContain(READY);
    for (const count of [1, 2, 3]) {
      eventfd.signal();
      await expect.poll(() => signals(resample)).toBe(1n);
      await expect.poll(() => interrupts(running)).toBe(count);
    }
    await guest.threads.stop();
    await running.ended();
    // No more than were raised: the line has gone down each time.
    expect(interrupts(running)).toBe(3);
  });

  it('a route gives a line another number', async () => {
    const guest = picGuest(PIC_GUEST);
    guest.vm.setGsiRouting([{ gsi: 40, type: 'irqchip', irqchip: 0, pin: 5 }]);
    using eventfd = EventFd.create();
    guest.vm.irqfd({ gsi: 40, eventfd });
    const running = guest.run();
    await expect.poll(() => running.accesses).toContain(READY);
    // The old number is gone with the old routes.
    guest.vm.irqLine(5, 1);
    guest.vm.irqLine(5, 0);
    eventfd.signal();
    await expect.poll(() => interrupts(running)).toBe(1);
  });

  it('a message is an interrupt, by itself and by way of an irqfd', async () => {
    const { guest, running } = await apicGuest();
    const msi = { address: 0xfee0_0000n, data: VECTOR };
    expect(guest.vm.signalMsi(msi)).toBe(true);
    await expect.poll(() => interrupts(running)).toBe(1);
    guest.vm.setGsiRouting([{ gsi: 24, type: 'msi', ...msi }]);
    using eventfd = EventFd.create();
    guest.vm.irqfd({ gsi: 24, eventfd });
    for (const count of [2, 3]) {
      eventfd.signal();
      await expect.poll(() => interrupts(running)).toBe(count);
    }
  });

  it('a guest that waits for one is stopped all the same', async () => {
    const guest = picGuest(PIC_GUEST);
    const running = guest.run();
    await expect.poll(() => running.accesses).toContain(READY);
    await guest.threads.stop();
    expect((await running.ended()).exit.kind).toBe('interrupted');
  });
});
