import { EAGAIN, EFAULT, EINTR, EINVAL, ENOENT } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  KVM_EXIT_FAIL_ENTRY,
  KVM_EXIT_HLT,
  KVM_EXIT_INTERNAL_ERROR,
  KVM_EXIT_INTR,
  KVM_EXIT_IO,
  KVM_EXIT_MMIO,
  KVM_EXIT_SHUTDOWN,
  KVM_EXIT_SYSTEM_EVENT,
  KVM_EXIT_X86_RDMSR,
  KVM_ONE_REG,
  KVM_REG_ARM64,
  KVM_REG_SIZE_U32,
  KVM_REG_SIZE_U64,
  KVM_REGS,
  KVM_RUN_FAIL_ENTRY,
  KVM_RUN_INTERNAL,
  KVM_RUN_IO,
  KVM_RUN_MMIO,
  KVM_RUN_PAGE,
  KVM_RUN_SYSTEM_EVENT,
  KVM_SREGS,
  KVM_VCPU_INIT,
  Kvm,
  KvmSysError,
  KvmVcpu,
  type KvmVm,
  type VcpuBus,
  type VcpuControl,
} from '../../src/index.ts';
import { FakeDevice, FakeKernel } from '../fixtures/fake-device.ts';

const PAGE_BYTES = 3 * 4096;
/** Where the kernel puts what goes through a port. */
const PIO_AT = 4096;

let kernel: FakeKernel;
let vm: KvmVm;
let control: VcpuControl;
let vcpu: KvmVcpu;
let page: DataView;
beforeEach(() => {
  kernel = new FakeKernel();
  vm = Kvm.fromDevice(new FakeDevice(kernel)).createVm();
  control = vm.createVcpu(1);
  vcpu = KvmVcpu.attach(control.ticket(), new FakeDevice(kernel, 'vCPU 1'));
  page = new DataView(kernel.page?.buffer() ?? new ArrayBuffer(0));
});
afterEach(() => {
  vcpu.close();
  vm.close();
});

/** What KVM_RUN does, time after time; at the end the vCPU halts. */
function runs(...steps: (() => unknown)[]): void {
  kernel.answers.set('KVM_RUN', () => {
    const step = steps.shift();
    if (step === undefined) return reason(KVM_EXIT_HLT);
    const result = step();
    return typeof result === 'number' ? result : 0;
  });
}
const reason = (value: number): number => {
  KVM_RUN_PAGE.set(page, 0, 'exit_reason', value);
  return 0;
};
const mmio = (values: Parameters<typeof KVM_RUN_MMIO.write>[2]): number => {
  KVM_RUN_MMIO.write(page, 0, values);
  return reason(KVM_EXIT_MMIO);
};
const io = (values: Parameters<typeof KVM_RUN_IO.write>[2]): number => {
  KVM_RUN_IO.write(page, 0, { data_offset: BigInt(PIO_AT), ...values });
  return reason(KVM_EXIT_IO);
};
const bytesAt = (at: number, length: number): number[] => [
  ...new Uint8Array(page.buffer, at, length),
];

function failure(call: () => unknown): KvmSysError {
  try {
    call();
  } catch (error) {
    if (KvmSysError.is(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('exits', () => {
  it('of memory have address, bytes and direction', () => {
    const data = Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8);
    runs(() => mmio({ phys_addr: 1n << 40n, len: 2, is_write: 1, data }));
    const exit = vcpu.run();
    expect(exit).toEqual({
      kind: 'mmio',
      isWrite: true,
      address: 1n << 40n,
      data: Uint8Array.of(1, 2),
    });
  });

  it.each([0, 9, 0xffff_ffff])('of memory with %i bytes are refused', (len) => {
    runs(() => mmio({ len }));
    expect(failure(() => vcpu.run()).code).toBe('BAD_EXIT');
  });

  it('of ports have their accesses one after the other', () => {
    runs(() => io({ direction: 1, size: 2, port: 0x3f8, count: 3 }));
    expect(vcpu.run()).toMatchObject({
      kind: 'io',
      isWrite: true,
      port: 0x3f8,
      size: 2,
      count: 3,
      data: new Uint8Array(6),
    });
  });

  it.each([
    { size: 0, count: 1 },
    { size: 3, count: 1 },
    { size: 8, count: 1 },
    { size: 1, count: 0 },
    { size: 4, count: 0xffff_ffff },
    { size: 1, count: PAGE_BYTES - PIO_AT + 1 },
    { size: 4, count: 1, data_offset: BigInt(PAGE_BYTES - 3) },
    { size: 1, count: 1, data_offset: 0n },
    { size: 1, count: 1, data_offset: 2351n },
    { size: 1, count: 1, data_offset: 0xffff_ffff_ffff_ffffn },
    { size: 1, count: 1, data_offset: 1n << 32n },
  ])('of ports outside of the page are refused: %o', (values) => {
    runs(() => io({ direction: 0, port: 1, ...values }));
    expect(failure(() => vcpu.run()).code).toBe('BAD_EXIT');
  });

  it('of ports may fill the page to its end', () => {
    runs(() => io({ size: 4, count: 1, data_offset: BigInt(PAGE_BYTES - 4) }));
    expect(vcpu.run()).toMatchObject({ kind: 'io', data: new Uint8Array(4) });
  });

  it('of other kinds say what there is to say', () => {
    const data = new Uint8Array(BigUint64Array.of(7n, 8n, 9n).buffer);
    runs(
      () => reason(KVM_EXIT_HLT),
      () => reason(KVM_EXIT_SHUTDOWN),
      () => reason(KVM_EXIT_INTR),
      () => {
        KVM_RUN_SYSTEM_EVENT.write(page, 0, { type: 2, ndata: 2, data });
        reason(KVM_EXIT_SYSTEM_EVENT);
      },
      () => {
        KVM_RUN_FAIL_ENTRY.write(page, 0, { hardware_entry_failure_reason: 1n << 63n, cpu: 3 });
        reason(KVM_EXIT_FAIL_ENTRY);
      },
      () => {
        KVM_RUN_INTERNAL.write(page, 0, { suberror: 1, ndata: 0xffff_ffff, data });
        reason(KVM_EXIT_INTERNAL_ERROR);
      },
      () => reason(KVM_EXIT_X86_RDMSR),
    );
    const exits = Array.from({ length: 7 }, () => vcpu.run());
    expect(exits).toEqual([
      { kind: 'hlt' },
      { kind: 'shutdown' },
      { kind: 'interrupted' },
      { kind: 'system-event', type: 2, data: [7n, 8n] },
      { kind: 'fail-entry', hardwareReason: 1n << 63n, cpu: 3 },
      // No more words than there is room for.
      { kind: 'internal-error', suberror: 1, data: [7n, 8n, 9n, ...Array(13).fill(0n)] },
      { kind: 'other', reason: 29 },
    ]);
  });

  it('that fail are named with the vCPU', () => {
    kernel.answers.set('KVM_RUN', () => -EFAULT);
    const error = failure(() => vcpu.run());
    expect(error.message).toBe('Cannot run vCPU 1: EFAULT');
    expect(error.context).toEqual({ errno: EFAULT, vcpu: 1 });
  });
});

describe('serve', () => {
  it('puts what a bus reads where the kernel finds it, and ones where it does not answer', () => {
    const seen: unknown[] = [];
    const bus: VcpuBus = {
      mmioRead: (address, data) => {
        seen.push([address, data.length]);
        data.set([0xaa]);
      },
      mmioWrite: (address, data) => seen.push([address, [...data]]),
      portRead: (port, data) => {
        seen.push([port, data.length]);
        data.set([seen.length]);
      },
      portWrite: (port, data) => seen.push([port, [...data]]),
    };
    const answers: number[][] = [];
    const note = (at: number, length: number) => () => answers.push(bytesAt(at, length));
    runs(
      () => mmio({ phys_addr: 16n, len: 4, is_write: 0, data: new Uint8Array(8) }),
      () => {
        note(40, 5)();
        return mmio({ phys_addr: 17n, len: 1, is_write: 1, data: Uint8Array.of(5) });
      },
      () => io({ direction: 0, size: 2, port: 9, count: 2 }),
      () => {
        note(PIO_AT, 5)();
        return io({ direction: 1, size: 1, port: 8, count: 2 });
      },
    );
    expect(vcpu.serve(bus).kind).toBe('hlt');
    expect(seen).toEqual([
      [16n, 4],
      [17n, [5]],
      [9, 2],
      [9, 2],
      [8, [3]],
      [8, [255]],
    ]);
    expect(answers).toEqual([
      [0xaa, 0xff, 0xff, 0xff, 0],
      [3, 0xff, 4, 0xff, 0],
    ]);
  });

  it('needs nobody behind an address: the guest reads ones', () => {
    let read: number[] = [];
    runs(
      () => mmio({ phys_addr: 0n, len: 2, is_write: 1 }),
      () => mmio({ phys_addr: 0n, len: 2, is_write: 0, data: Uint8Array.of(1, 2, 3) }),
      () => {
        read = bytesAt(40, 3);
        return io({ direction: 1, size: 1, port: 0, count: 1 });
      },
      () => io({ direction: 0, size: 1, port: 0, count: 1 }),
    );
    expect(vcpu.serve({}).kind).toBe('hlt');
    expect(read).toEqual([0xff, 0xff, 3]);
  });
});

describe('kicks and stops', () => {
  it('a kick is seen once, whether the vCPU is inside or not', () => {
    let kicks = 0;
    runs(() => {
      control.kick();
      return -EINTR;
    });
    control.kick();
    expect(page.getUint8(1)).toBe(1);
    const exit = vcpu.serve({ kicked: () => kicks++ });
    expect(exit.kind).toBe('hlt');
    expect(kicks).toBe(2);
    expect(page.getUint8(1)).toBe(0);
  });

  it('a kick while an access is completed is not lost', () => {
    runs(() => {
      control.kick();
      return -EINTR;
    });
    expect(vcpu.completeExit()).toEqual({ kind: 'interrupted' });
    expect(vcpu.run()).toEqual({ kind: 'interrupted' });
    expect(kernel.of('KVM_RUN')).toHaveLength(1);
    expect(vcpu.run()).toEqual({ kind: 'hlt' });
  });

  it('completing an access does not go on in the guest, and may bring the next piece', () => {
    const immediate: number[] = [];
    runs(
      () => mmio({ phys_addr: 4095n, len: 1, is_write: 1 }),
      () => {
        immediate.push(page.getUint8(1));
        return mmio({ phys_addr: 4096n, len: 1, is_write: 1 });
      },
      () => {
        immediate.push(page.getUint8(1));
        return -EINTR;
      },
    );
    vcpu.run();
    expect(vcpu.completeExit()).toMatchObject({ kind: 'mmio', address: 4096n });
    expect(vcpu.completeExit().kind).toBe('interrupted');
    expect(immediate).toEqual([1, 1]);
    expect(page.getUint8(1)).toBe(0);
  });

  it('after a stop the guest is not entered any more', () => {
    control.requestStop();
    expect(control.stopRequested).toBe(true);
    expect(vcpu.serve({}).kind).toBe('interrupted');
    expect(kernel.of('KVM_RUN')).toEqual([]);
  });

  it('a vCPU that is being started runs again', () => {
    runs(
      () => -EAGAIN,
      () => -EAGAIN,
    );
    expect(vcpu.run().kind).toBe('hlt');
  });
});

describe('who has a vCPU', () => {
  it('is one thread at a time, and nobody after it is closed', () => {
    const ticket = control.ticket();
    expect(structuredClone({ ...ticket, state: undefined })).toMatchObject({ id: 1, fd: 61 });
    expect(failure(() => KvmVcpu.attach(ticket)).code).toBe('IN_USE');
    expect(failure(() => control.close()).code).toBe('IN_USE');
    expect(failure(() => vm.close()).code).toBe('IN_USE');
    vcpu.close();
    vcpu.close();
    expect(control.held).toBe(false);
    expect(failure(() => vcpu.run()).code).toBe('CLOSED');
    expect(failure(() => vcpu.registers.getRegs()).code).toBe('CLOSED');
    KvmVcpu.attach(ticket, new FakeDevice(kernel)).close();
    control.close();
    expect(failure(() => KvmVcpu.attach(ticket)).code).toBe('CLOSED');
    expect(kernel.closed).toEqual(['vCPU 1']);
    expect(kernel.page?.live).toBe(false);
  });

  it('is nobody when its thread is gone', () => {
    control.threadEnded();
    expect(control.held).toBe(false);
    control.threadEnded();
    control.close();
    control.threadEnded();
    expect(failure(() => control.ticket()).code).toBe('CLOSED');
  });
});

describe('registers', () => {
  it('that are not given are 0', () => {
    vcpu.registers.setRegs({ rip: 0x1000n, rflags: 2n });
    const { rip, rflags, rax } = KVM_REGS.decode(kernel.argument('KVM_SET_REGS'));
    expect([rip, rflags, rax]).toEqual([0x1000n, 2n, 0n]);
  });

  it('of segments and tables come back as they went', () => {
    kernel.answers.set('KVM_GET_SREGS', (argument) => {
      argument.set(Array.from({ length: KVM_SREGS.SIZE }, (_, i) => i & 0xff));
      return 0;
    });
    const sregs = vcpu.registers.getSregs();
    expect(sregs.ds.selector).toBe(0x2524);
    expect(sregs.idt.limit).toBe(0xd9d8);
    expect(sregs.cr0).toBe(0xe7e6_e5e4_e3e2_e1e0n);
    vcpu.registers.setSregs({ ...sregs, cr0: 1n });
    const back = KVM_SREGS.decode(kernel.argument('KVM_SET_SREGS'));
    expect(back).toMatchObject({ cr0: 1n, cr4: sregs.cr4, efer: sregs.efer });
    expect([...back.ds.subarray(0, 23)]).toEqual(Array.from({ length: 23 }, (_, i) => 24 + i));
  });

  it('that do not go together are named with the vCPU', () => {
    kernel.answers.set('KVM_SET_SREGS', () => -EINVAL);
    const sregs = vcpu.registers.getSregs();
    expect(() => vcpu.registers.setSregs(sregs)).toThrow(
      'Cannot set special registers of vCPU 1: EINVAL',
    );
  });

  it('of arm64 have the size that their number says', () => {
    const core = KVM_REG_ARM64 | 0x10_0000n;
    expect(vcpu.registers.getOneReg(core | KVM_REG_SIZE_U64)).toHaveLength(8);
    expect(vcpu.registers.getOneReg(core | KVM_REG_SIZE_U32)).toHaveLength(4);
    vcpu.registers.setOneReg(core | KVM_REG_SIZE_U32, Uint8Array.of(1, 2, 3, 4));
    const { id, addr } = KVM_ONE_REG.decode(kernel.argument('KVM_SET_ONE_REG'));
    expect(id).toBe(core | KVM_REG_SIZE_U32);
    expect(addr).not.toBe(0n);
    expect(() => vcpu.registers.setOneReg(core | KVM_REG_SIZE_U64, new Uint8Array(4))).toThrow(
      RangeError,
    );
    const huge = core | 0x00f0_0000_0000_0000n;
    expect(failure(() => vcpu.registers.getOneReg(huge)).code).toBe('INVALID');
    kernel.answers.set('KVM_GET_ONE_REG', () => -ENOENT);
    expect(failure(() => vcpu.registers.getOneReg(core | KVM_REG_SIZE_U64)).code).toBe('NOT_FOUND');
  });

  it('of CPUID are a table with a head', () => {
    const entry = { function: 1, index: 0, flags: 0, eax: 1, ebx: 2, ecx: 3, edx: 4 };
    vcpu.registers.setCpuid2([entry, { ...entry, function: 2 }]);
    const bytes = kernel.argument('KVM_SET_CPUID2');
    expect(bytes).toHaveLength(88);
    expect([...new Uint32Array(bytes.buffer).slice(0, 9)]).toEqual([2, 0, 1, 0, 0, 1, 2, 3, 4]);
    kernel.answers.set('KVM_GET_CPUID2', (table) => {
      table.set(bytes);
      return 0;
    });
    expect(vcpu.registers.getCpuid2().map((each) => each.function)).toEqual([1, 2]);
  });

  it('a signal mask is a set of 64 bits behind its length, or nothing', () => {
    vcpu.setSignalMask([1, 37, 64]);
    const bytes = kernel.argument('KVM_SET_SIGNAL_MASK');
    expect([...bytes]).toEqual([8, 0, 0, 0, 1, 0, 0, 0, 0x10, 0, 0, 0x80]);
    expect(() => vcpu.setSignalMask([65])).toThrow(RangeError);
    vcpu.setSignalMask(undefined);
    expect(kernel.of('KVM_SET_SIGNAL_MASK').at(-1)?.bytes).toHaveLength(0);
  });

  it('a vCPU of arm64 has features', () => {
    vcpu.armInit({ target: 5, features: Uint8Array.of(4) });
    const init = KVM_VCPU_INIT.decode(kernel.argument('KVM_ARM_VCPU_INIT'));
    expect([init.target, init.features[0], init.features.length]).toEqual([5, 4, 28]);
  });
});
