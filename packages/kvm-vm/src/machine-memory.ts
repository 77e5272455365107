import type { KvmVm } from '@node-vmm/kvm-sys';
import { GuestMemoryMmap, type GuestRange } from '@node-vmm/vm-memory';
import {
  closeFd,
  type Fd,
  isPowerOfTwo,
  Mapping,
  memfdCreate,
  PAGE_SIZE,
  SysError,
} from '@node-vmm/vmm-sys-util';
import { KvmMachineError } from './errors.ts';

const MIB = 1 << 20;

/**
 * A guest's memory in one memfd that cannot shrink, mapped twice: for the guest, by slots that last as long as
 * vCPUs may run, and for this process, which may close its own earlier.
 */
export class MachineMemory implements Disposable {
  /** What devices and back-ends work with. */
  readonly memory: GuestMemoryMmap;
  readonly #guest: Mapping;

  private constructor(fd: Fd, banks: readonly GuestRange[], size: number) {
    let fdOffset = 0;
    const regions = banks.map((bank) => {
      const region = { ...bank, fd, fdOffset };
      fdOffset += Number(bank.length);
      return region;
    });
    this.#guest = Mapping.create({ length: size, fd, subject: 'guest memory' });
    try {
      this.memory = GuestMemoryMmap.fromRegions(regions);
    } catch (error) {
      this.#guest.close();
      throw error;
    }
  }

  /**
   * Makes zeroed memory; pages take up room when first touched, huge ones at once.
   *
   * @param banks - ascending, of whole pages
   * @param hugePageSize - bytes, a power of two
   * @throws {KvmMachineError} BAD_OPTION, NO_HUGE_PAGES
   * @throws {SysError} when there is no memory
   */
  static create(name: string, banks: readonly GuestRange[], hugePageSize?: number): MachineMemory {
    const size = banks.reduce((sum, { length }) => sum + Number(length), 0);
    checkHugePages(banks, hugePageSize);
    try {
      const fd = memfdCreate(name, size, hugePageSize === undefined ? {} : { hugePageSize });
      try {
        return new MachineMemory(fd, banks, size);
      } finally {
        closeFd(fd);
      }
    } catch (cause) {
      if (hugePageSize === undefined || !SysError.is(cause)) throw cause;
      const page = `${hugePageSize / 1024} kB`;
      const text =
        `Cannot make ${size / MIB} MiB of memory of huge pages of ${page}: ${cause.code} ` +
        `(reserve ${size / hugePageSize} of them: /sys/kernel/mm/hugepages/hugepages-${hugePageSize / 1024}kB/nr_hugepages)`;
      throw new KvmMachineError('NO_HUGE_PAGES', text, {}, { cause });
    }
  }

  /** Gives it to the guest. @throws {KvmSysError} */
  give(vm: KvmVm): void {
    let offset = 0;
    this.memory.sharedRegions.forEach(({ guestAddr, length }, slot) => {
      const size = Number(length);
      const region = { slot, address: guestAddr, memory: this.#guest, offset, size };
      vm.setUserMemoryRegion(region);
      offset += size;
    });
  }

  /** After the VM: the guest's own goes, too. Idempotent. */
  close(): void {
    this.memory[Symbol.dispose]();
    this.#guest.close();
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function checkHugePages(banks: readonly GuestRange[], size: number | undefined): void {
  if (size === undefined) return;
  const fits = banks.every(({ length }) => Number(length) % size === 0);
  if (isPowerOfTwo(size) && size > PAGE_SIZE && fits) return;
  throw new KvmMachineError(
    'BAD_OPTION',
    `Cannot make memory of huge pages of ${size} bytes: use a size that the machine has, such as ${2 * MIB}, and whole pages of it`,
  );
}
