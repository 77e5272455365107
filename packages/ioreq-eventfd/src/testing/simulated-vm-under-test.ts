import type { VmUnderTest } from '@node-vmm/vm-device/testing';
import { SimulatedVm, type SimulatedVmComponents } from '../simulated-vm.ts';
import { SimulatedTestGuest } from './simulated-test-guest.ts';

/** vCPUs of the machine that the suite runs on. */
const VCPUS = 4;

/** A simulated machine with a guest, for a case of the suite of `@node-vmm/vm-device/testing`. */
export function simulatedVmUnderTest(components: SimulatedVmComponents): VmUnderTest {
  const vm = SimulatedVm.create(components, { vcpus: VCPUS });
  const guest = new SimulatedTestGuest(vm.guestResources());
  return {
    vm,
    guest,
    base: 0x200_0000n,
    port: 0x600n,
    irq: 33,
    vcpus: VCPUS,
    irqSharing: true,
    kernelAssisted: false,
    interruptsAssisted: false,
    close: () => guest.close(),
  };
}
