import type { NotificationMode } from '@node-vmm/vm-device';
import { runVmCases } from '@node-vmm/vm-device/testing';
import { FAKE_XEN_THREAD } from '@node-vmm/vm-dispatch/testing';
import type { FakeXenOptions } from '@node-vmm/xen-sys/testing';
import { describe, expect, it } from 'vitest';
import { SuiteThread } from '../suite-thread.ts';
import { XenBench } from '../xen-harness.ts';

const KINDS: readonly {
  readonly kind: string;
  readonly fake: FakeXenOptions;
  readonly mode: NotificationMode;
  readonly irq: number;
  readonly kernel?: boolean;
}[] = [
  { kind: 'Arm, notification by the kernel', fake: {}, mode: 'kernel', irq: 33, kernel: true },
  { kind: 'Arm, notification in user space', fake: {}, mode: 'user', irq: 33 },
  {
    kind: 'x86, a level-triggered line',
    fake: { arch: 'x86_64', guestType: 'PVH' },
    mode: 'auto',
    irq: 5,
    kernel: true,
  },
  {
    kind: 'x86, an edge-triggered line',
    fake: { arch: 'x86_64', guestType: 'PV' },
    mode: 'user',
    irq: 7,
  },
];

describe.each(KINDS)(
  'compliance of XenVm on a dispatch thread, $kind',
  ({ fake, mode, irq, kernel = false }) => {
    const suite = new SuiteThread({ threadModule: FAKE_XEN_THREAD });

    runVmCases(it, () => {
      const b = new XenBench(suite.thread, fake);
      const vm = b.vm(mode);
      return {
        vm,
        ...b.guest.context(irq, kernel),
        checkReleased: () => {
          b.guest.checkReleased();
          expect(vm.seated || vm.counters.requests === 0).toBe(true);
        },
        close: () => b[Symbol.dispose](),
      };
    });
  },
);
