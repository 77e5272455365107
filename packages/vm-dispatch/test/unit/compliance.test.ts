import { simulatedVmUnderTest } from '@node-vmm/ioreq-eventfd/testing';
import { runVmCases } from '@node-vmm/vm-device/testing';
import { describe, it } from 'vitest';
import { SuiteThread } from '../suite-thread.ts';

describe('compliance of SimulatedVm on a dispatch thread', () => {
  const suite = new SuiteThread();

  runVmCases(it, () => simulatedVmUnderTest({ poller: suite.poller, host: suite.thread }));
});
