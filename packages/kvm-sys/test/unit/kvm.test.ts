import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { E2BIG, ENOTTY } from '@node-vmm/vmm-sys-util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  hardwareVirtualisation,
  KVM_CAP_IRQFD,
  KVM_CPUID2,
  Kvm,
  KvmSysError,
  kvmStatus,
} from '../../src/index.ts';
import { FakeDevice, FakeKernel } from '../fixtures/fake-device.ts';

/** Why nothing can be forbidden here. */
const ROOT =
  process.getuid?.() === 0 ? ' (skipped, unavailable: root may open everything)' : undefined;

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), 'kvm-sys-'));
});
afterEach(() => rmSync(directory, { recursive: true }));

const write = (name: string, text: string): string => {
  const path = join(directory, name);
  writeFileSync(path, text);
  return path;
};

function failure(call: () => unknown): KvmSysError {
  try {
    call();
  } catch (error) {
    if (KvmSysError.is(error)) return error;
    throw error;
  }
  throw new Error('nothing was thrown');
}

describe('Kvm.open', () => {
  it('says what to do where there is no device', () => {
    const path = join(directory, 'kvm');
    const { code, message } = failure(() => Kvm.open(path));
    expect(code).toBe('NO_KVM');
    expect(message).toMatch(`Cannot open ${path}: ENOENT (load the module kvm_intel or kvm_amd`);
  });

  it.skipIf(ROOT)(`says what to do where it is not allowed${ROOT ?? ''}`, () => {
    const path = write('kvm', '');
    chmodSync(path, 0);
    const { code, message } = failure(() => Kvm.open(path));
    expect(code).toBe('NOT_PERMITTED');
    expect(message).toMatch(/: EACCES \(add yourself to group kvm/);
    expect(kvmStatus({ kvm: path }).device).toBe('not-permitted');
  });

  it('knows a file that is no device of KVM', () => {
    const { code, message } = failure(() => Kvm.open(write('kvm', '')));
    expect(code).toBe('NO_KVM');
    expect(message).toMatch(/no device of KVM/);
  });

  it('refuses another version, and closes what it was given', () => {
    const kernel = new FakeKernel();
    kernel.answers.set('KVM_GET_API_VERSION', () => 11);
    const { code, message } = failure(() => Kvm.fromDevice(new FakeDevice(kernel)));
    expect(code).toBe('BAD_VERSION');
    expect(message).toMatch('version 11, not 12');
    expect(kernel.closed).toEqual(['/dev/kvm']);
  });
});

describe('Kvm', () => {
  it('checks capabilities by their numbers', () => {
    const kernel = new FakeKernel();
    kernel.answers.set('KVM_CHECK_EXTENSION', (_, capability) => capability);
    using kvm = Kvm.fromDevice(new FakeDevice(kernel));
    expect(kvm.checkExtension(KVM_CAP_IRQFD)).toBe(32);
    expect(() => kvm.checkExtension(-1)).toThrow(RangeError);
  });

  it.each([0, 2351, 1 << 24])('refuses a run page of %i bytes', (size) => {
    const kernel = new FakeKernel();
    kernel.answers.set('KVM_GET_VCPU_MMAP_SIZE', () => size);
    using kvm = Kvm.fromDevice(new FakeDevice(kernel));
    expect(failure(() => kvm.createVm()).code).toBe('BAD_EXIT');
  });

  it('asks for CPUID with more room until it fits, and believes no count beyond the room', () => {
    const kernel = new FakeKernel();
    const rooms: number[] = [];
    kernel.answers.set('KVM_GET_SUPPORTED_CPUID', (table) => {
      const view = new DataView(table.buffer, table.byteOffset);
      rooms.push(KVM_CPUID2.get(view, 0, 'nent'));
      if (rooms.length < 3) return -E2BIG;
      KVM_CPUID2.set(view, 0, 'nent', 0xffff_ffff);
      return 0;
    });
    using kvm = Kvm.fromDevice(new FakeDevice(kernel));
    expect(kvm.supportedCpuid()).toHaveLength(512);
    expect(rooms).toEqual([128, 256, 512]);
    kernel.answers.set('KVM_GET_SUPPORTED_CPUID', () => -E2BIG);
    expect(failure(() => kvm.supportedCpuid()).message).toMatch(/CPUID: E2BIG/);
    kernel.answers.set('KVM_GET_SUPPORTED_CPUID', () => -ENOTTY);
    expect(failure(() => kvm.supportedCpuid()).code).toBe('UNSUPPORTED');
  });

  it('is of no use once closed', () => {
    const kvm = Kvm.fromDevice(new FakeDevice(new FakeKernel()));
    kvm.close();
    kvm.close();
    expect(kvm.live).toBe(false);
  });
});

describe('what the machine has', () => {
  it.each([
    ['flags\t\t: fpu vmx sse', 'vmx'],
    ['flags\t\t: fpu svm sse', 'svm'],
    ['flags\t\t: fpu vmx_like sse', 'none'],
    ['Features\t: fp asimd', 'unknown'],
  ] as const)('%j is %s', (line, expected) => {
    const cpuinfo = write('cpuinfo', `processor\t: 0\n${line}\nbogomips : 1\n`);
    expect(hardwareVirtualisation(cpuinfo)).toBe(expected);
  });

  it('is not known where nothing is said', () => {
    expect(hardwareVirtualisation(join(directory, 'none'))).toBe('unknown');
  });

  it('has a remedy for everything that is wrong', () => {
    const cpuinfo = write('cpuinfo', 'flags : fpu\n');
    expect(kvmStatus({ kvm: join(directory, 'kvm'), cpuinfo })).toMatchObject({
      device: 'missing',
      remedies: [expect.stringMatching(/^There is no .*load the module kvm_intel/)],
    });
    const kvm = write('kvm', '');
    expect(kvmStatus({ kvm, cpuinfo })).toMatchObject({
      device: 'usable',
      hardware: 'none',
      remedies: [expect.stringMatching(/neither vmx nor svm/)],
    });
    expect(kvmStatus({ kvm, cpuinfo: write('cpuinfo', 'flags : svm\n') }).remedies).toEqual([]);
  });
});
