import { type AddressRange, describeRange, VmError } from '@node-vmm/vm-device';
import { hex } from '@node-vmm/vmm-sys-util';

/**
 * Ports of x86 guests that Xen answers itself, before it asks an IOREQ server, and those that it
 * turns into accesses to PCI configuration space (`register_portio_handler` in xen/arch/x86).
 */
const TAKEN: readonly (readonly [first: number, last: number, what: string])[] = [
  [0x20, 0x21, 'the first interrupt controller'],
  [0x40, 0x43, 'the timer'],
  [0x61, 0x61, 'the speaker'],
  [0x70, 0x71, 'the real-time clock'],
  [0xa0, 0xa1, 'the second interrupt controller'],
  [0xe9, 0xe9, "Xen's debug console"],
  [0x4d0, 0x4d1, 'the trigger modes of the interrupt controllers'],
  [0xcf8, 0xcff, 'PCI configuration'],
  [0xb000, 0xb00b, 'the ACPI timer with its events'],
];

/**
 * Refuses ports that would never reach a device. Nobody can be asked which ports an emulator beside
 * us has.
 *
 * @throws {VmError} RANGE_RESERVED
 */
export function checkPorts(range: AddressRange, vm: string): void {
  const { space, base, length } = range;
  const end = Number(base) + length;
  const taken = TAKEN.find(([first, last]) => base <= last && end > first);
  if (taken === undefined) return;
  const [first, last, what] = taken;
  throw new VmError(
    'RANGE_RESERVED',
    `Cannot map ${describeRange(range)} of ${vm}: ${what} is at ${hex(first)} to ${hex(last)}; ` +
      'choose other ports',
    { vm, space, guestAddr: base, length },
  );
}
