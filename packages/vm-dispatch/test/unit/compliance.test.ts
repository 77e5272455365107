import { SimulatedVm } from '@node-vmm/ioreq-eventfd/simulated';
import { SimulatedTestGuest } from '@node-vmm/ioreq-eventfd/testing';
import { type VmComplianceCase, vmComplianceCases } from '@node-vmm/vm-device/testing';
import { DispatchThread } from '@node-vmm/vm-dispatch';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { afterAll, beforeAll, describe, it } from 'vitest';

describe('compliance of SimulatedVm on a dispatch thread', () => {
  const poller = new MainPoller();
  let thread: DispatchThread;

  beforeAll(async () => {
    thread = await DispatchThread.start({ poller });
  });

  afterAll(async () => {
    thread.close();
    await thread.ended;
    poller.close();
  });

  it.each<VmComplianceCase>(vmComplianceCases)('$section: $name', async (rule) => {
    const vm = SimulatedVm.create({ poller, host: thread }, { vcpus: 4 });
    const guest = new SimulatedTestGuest(vm.guestResources());
    try {
      await rule.run({
        vm,
        guest,
        base: 0x200_0000n,
        port: 0x600n,
        irq: 33,
        vcpus: 4,
        irqSharing: true,
        kernelAssisted: false,
        interruptsAssisted: false,
      });
    } finally {
      vm.close();
      guest.close();
    }
  });
});
