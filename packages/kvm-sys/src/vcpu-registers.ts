import {
  addressOf,
  checkU64,
  E2BIG,
  hex,
  type IoctlRequest,
  SysError,
  type Values,
} from '@node-vmm/vmm-sys-util';
import {
  KVM_GET_ONE_REG,
  KVM_ONE_REG,
  KVM_REG_SIZE_MASK,
  KVM_REG_SIZE_SHIFT,
  KVM_SET_ONE_REG,
} from './abi/arm64.ts';
import {
  KVM_GET_CPUID2,
  KVM_GET_REGS,
  KVM_GET_SREGS,
  KVM_REGS,
  KVM_SET_CPUID2,
  KVM_SET_REGS,
  KVM_SET_SREGS,
  KVM_SREGS,
} from './abi/x86.ts';
import { type CpuidEntry, decodeCpuid, emptyCpuid, encodeCpuid } from './cpuid.ts';
import type { KvmDevice } from './device.ts';
import { KvmSysError, naming } from './errors.ts';
import { decodeSregs, encodeSregs, type KvmSregs } from './sregs.ts';

/** x86: general registers, instruction pointer and flags. */
export type KvmRegs = Values<typeof KVM_REGS.fields>;

/** Ours: no kernel has more entries; KVM_MAX_CPUID_ENTRIES is 256. */
const CPUID_ENTRIES_MAX = 4096;

/**
 * The registers of a vCPU, while it is outside of the guest. After an access that has left the guest they are
 * right only when that is complete, see `KvmVcpu.completeExit`.
 */
export class VcpuRegisters {
  readonly #id: number;
  readonly #device: () => KvmDevice;

  /** @param device - of the vCPU; throws when that was given back */
  constructor(id: number, device: () => KvmDevice) {
    this.#id = id;
    this.#device = device;
  }

  /** x86. @throws {KvmSysError} UNSUPPORTED on other architectures */
  getRegs(): KvmRegs {
    return KVM_REGS.decode(this.#get(KVM_GET_REGS, 'registers', KVM_REGS.SIZE));
  }

  /** x86: those not given become 0. @throws {KvmSysError} UNSUPPORTED on other architectures */
  setRegs(regs: Partial<KvmRegs>): void {
    this.#ioctl(KVM_SET_REGS, 'set registers', KVM_REGS.encode(regs));
  }

  /** x86. @throws {KvmSysError} UNSUPPORTED on other architectures */
  getSregs(): KvmSregs {
    return decodeSregs(this.#get(KVM_GET_SREGS, 'special registers', KVM_SREGS.SIZE));
  }

  /** x86: all of them, from {@link getSregs}. @throws {KvmSysError} INVALID when they do not go together */
  setSregs(sregs: KvmSregs): void {
    this.#ioctl(KVM_SET_SREGS, 'set special registers', encodeSregs(sregs));
  }

  /** x86: what the guest sees of the processor. @throws {KvmSysError} */
  getCpuid2(): CpuidEntry[] {
    for (let room = 128; ; room *= 2) {
      const table = emptyCpuid(room);
      try {
        this.#device().ioctl(KVM_GET_CPUID2, table);
        return decodeCpuid(table);
      } catch (error) {
        if (SysError.is(error) && error.errno === E2BIG && room < CPUID_ENTRIES_MAX) continue;
        return this.#naming('get CPUID', () => {
          throw error;
        });
      }
    }
  }

  /**
   * x86, before the vCPU has run.
   *
   * @param entries - from `Kvm.supportedCpuid`, as they are or with less
   * @throws {KvmSysError} INVALID
   */
  setCpuid2(entries: readonly CpuidEntry[]): void {
    this.#ioctl(KVM_SET_CPUID2, 'set CPUID', encodeCpuid(entries));
  }

  /**
   * One register by its number, as arm64 has all of them.
   *
   * @param id - with its size in it
   * @returns as many bytes as `id` says, 1 to 2048
   * @throws {KvmSysError} NOT_FOUND, UNSUPPORTED
   */
  getOneReg(id: bigint): Uint8Array {
    const value = new Uint8Array(registerSize(id));
    this.#oneReg(KVM_GET_ONE_REG, 'get', id, value);
    return value;
  }

  /**
   * @param value - as many bytes as `id` says
   * @throws {KvmSysError} as {@link getOneReg}
   * @throws {RangeError} when it has another length
   */
  setOneReg(id: bigint, value: Uint8Array): void {
    const size = registerSize(id);
    if (value.length !== size) {
      throw new RangeError(`"value" expected ${size} bytes for register ${hex(id)}`);
    }
    this.#oneReg(KVM_SET_ONE_REG, 'set', id, value.slice());
  }

  #oneReg(request: IoctlRequest, verb: string, id: bigint, value: Uint8Array): void {
    // SAFETY: the kernel takes the size from `id`, as `value` did, which lives until the call is over.
    const argument = KVM_ONE_REG.encode({ id: checkU64('id', id), addr: addressOf(value) });
    this.#ioctl(request, `${verb} register ${hex(id)}`, argument);
  }

  #get(request: IoctlRequest, what: string, size: number): Uint8Array {
    const out = new Uint8Array(size);
    this.#ioctl(request, `get ${what}`, out);
    return out;
  }

  #ioctl(request: IoctlRequest, action: string, argument: Uint8Array): void {
    const device = this.#device();
    this.#naming(action, () => device.ioctl(request, argument));
  }

  #naming<T>(action: string, call: () => T): T {
    return naming(`${action} of vCPU ${this.#id}`, call, { vcpu: this.#id });
  }
}

/** Bytes of a register: the number has their binary logarithm. */
function registerSize(id: bigint): number {
  const size = 2 ** Number((id & KVM_REG_SIZE_MASK) >> BigInt(KVM_REG_SIZE_SHIFT));
  if (size <= 2048) return size;
  throw new KvmSysError('INVALID', `Cannot use register ${hex(id)}: it has no size that is known`);
}
