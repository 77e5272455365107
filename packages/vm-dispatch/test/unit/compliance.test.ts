import { simulatedVmUnderTest } from '@node-vmm/ioreq-eventfd/testing';
import { runVmCases } from '@node-vmm/vm-device/testing';
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

  runVmCases(it, () => simulatedVmUnderTest({ poller, host: thread }));
});
