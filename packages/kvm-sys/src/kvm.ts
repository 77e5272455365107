import { constants } from 'node:fs';
import { asFd, checkInteger, E2BIG, errorCode, openFd, SysError } from '@node-vmm/vmm-sys-util';
import {
  KVM_API_VERSION,
  KVM_CHECK_EXTENSION,
  KVM_CREATE_VM,
  KVM_GET_API_VERSION,
  KVM_GET_VCPU_MMAP_SIZE,
} from './abi/kvm.ts';
import { KVM_RUN_PAGE } from './abi/run.ts';
import { KVM_GET_SUPPORTED_CPUID } from './abi/x86.ts';
import { type CpuidEntry, decodeCpuid, emptyCpuid } from './cpuid.ts';
import { type KvmDevice, kvmDeviceFromFd } from './device.ts';
import { KvmSysError, type KvmSysErrorCode, naming } from './errors.ts';
import { KVM_PATH, KVM_PERMISSION_REMEDY, KVM_REMEDY } from './hardware.ts';
import { KvmVm } from './kvm-vm.ts';

/** Ours: no kernel has more; KVM_MAX_CPUID_ENTRIES is 256. */
const CPUID_ENTRIES_LIMIT = 4096;
/** Ours: no kernel maps more for a vCPU; x86 has 3 pages. */
const VCPU_MMAP_LIMIT = 1 << 20;

/** /dev/kvm. */
export class Kvm implements Disposable {
  readonly #device: KvmDevice;

  private constructor(device: KvmDevice) {
    this.#device = device;
  }

  /**
   * Opens /dev/kvm and makes sure that its interface is the one that this package speaks.
   *
   * @throws {KvmSysError} NO_KVM, NOT_PERMITTED, BAD_VERSION; the message says what to do
   */
  static open(path: string = KVM_PATH): Kvm {
    let device: KvmDevice;
    try {
      device = kvmDeviceFromFd(openFd(path, constants.O_RDWR), path);
    } catch (error) {
      throw openError(path, error);
    }
    return Kvm.fromDevice(device);
  }

  /**
   * Takes over an open device, which is closed when this fails.
   *
   * @throws {KvmSysError} BAD_VERSION; NO_KVM when it is no device of KVM
   */
  static fromDevice(device: KvmDevice): Kvm {
    const kvm = new Kvm(device);
    try {
      const version = kvm.apiVersion();
      if (version !== KVM_API_VERSION) {
        throw new KvmSysError(
          'BAD_VERSION',
          `Cannot use KVM: its interface has version ${version}, not ${KVM_API_VERSION} (use Linux 2.6.22 or newer)`,
        );
      }
      return kvm;
    } catch (error) {
      device.close();
      if (!KvmSysError.is(error, 'UNSUPPORTED')) throw error;
      throw new KvmSysError(
        'NO_KVM',
        `${error.message} (this is no device of KVM)`,
        error.context,
        {
          cause: error,
        },
      );
    }
  }

  get live(): boolean {
    return this.#device.live;
  }

  /** Version of the interface, {@link KVM_API_VERSION}. @throws {KvmSysError} */
  apiVersion(): number {
    return naming('ask KVM for its version', () =>
      this.#device.ioctlNumber(KVM_GET_API_VERSION, 0),
    );
  }

  /**
   * @param capability - `KVM_CAP_...`
   * @returns 0 when the kernel lacks it, else 1 or how many there may be
   * @throws {KvmSysError}
   */
  checkExtension(capability: number): number {
    checkInteger('capability', capability, 0, 0x7fff_ffff);
    return naming(`check capability ${capability} of KVM`, () =>
      this.#device.ioctlNumber(KVM_CHECK_EXTENSION, capability),
    );
  }

  /**
   * Size of what a vCPU shares with the thread that runs it.
   *
   * @returns bytes
   * @throws {KvmSysError} BAD_EXIT when that cannot hold `struct kvm_run`
   */
  vcpuMmapSize(): number {
    const size = naming('ask KVM for the size of a run page', () =>
      this.#device.ioctlNumber(KVM_GET_VCPU_MMAP_SIZE, 0),
    );
    if (size >= KVM_RUN_PAGE.SIZE && size <= VCPU_MMAP_LIMIT) return size;
    throw new KvmSysError('BAD_EXIT', `Cannot use KVM: its run page has ${size} bytes`);
  }

  /**
   * x86: what KVM can show to a guest, to be given to `KvmVcpu.setCpuid2`, as it is or with less.
   *
   * @throws {KvmSysError} UNSUPPORTED on other architectures
   */
  supportedCpuid(): CpuidEntry[] {
    for (let room = 128; ; room *= 2) {
      const table = emptyCpuid(room);
      try {
        this.#device.ioctl(KVM_GET_SUPPORTED_CPUID, table);
        return decodeCpuid(table);
      } catch (error) {
        if (SysError.is(error, 'E2BIG') && error.errno === E2BIG && room < CPUID_ENTRIES_LIMIT)
          continue;
        return naming('ask KVM for its CPUID', () => {
          throw error;
        });
      }
    }
  }

  /**
   * Makes a virtual machine without memory and vCPUs.
   *
   * @param type - 0; on arm64 the width of guest addresses, 0 for 40 bits
   * @throws {KvmSysError}
   */
  createVm(type = 0): KvmVm {
    const runSize = this.vcpuMmapSize();
    const fd = naming('create a virtual machine', () =>
      this.#device.ioctlNumber(KVM_CREATE_VM, type),
    );
    return new KvmVm(this.#device.derive(asFd(fd), 'VM'), runSize);
  }

  /** Virtual machines that were made stay. Idempotent. */
  close(): void {
    this.#device.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function openError(path: string, error: unknown): KvmSysError {
  const code = errorCode(error) ?? String(error);
  const reason: readonly [KvmSysErrorCode, string?] =
    code === 'EACCES' || code === 'EPERM'
      ? ['NOT_PERMITTED', KVM_PERMISSION_REMEDY]
      : ['ENOENT', 'ENXIO', 'ENODEV', 'ENOTDIR'].includes(code)
        ? ['NO_KVM', KVM_REMEDY]
        : ['FAILED'];
  const [kind, remedy] = reason;
  const rest = remedy === undefined ? '' : ` (${remedy})`;
  return new KvmSysError(kind, `Cannot open ${path}: ${code}${rest}`, {}, { cause: error });
}
