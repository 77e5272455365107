import { existsSync } from 'node:fs';
import { type CpuidEntry, type KvmVm, type VcpuControl, VcpuThreads } from '@node-vmm/kvm-sys';
import { errorMessage, threadOptions } from '@node-vmm/vmm-sys-util';
import { cpuidOf, type EntryState } from './entry-state.ts';
import { KvmMachineError } from './errors.ts';
import { endOfExit, type MachineEnd } from './machine-end.ts';
import type { AccessChannel, VcpuReport, VcpuThreadData } from './thread/thread-data.ts';

/** Undefined in a bundle of CommonJS. */
const HERE: string | undefined = import.meta.url;
// Tests run the sources, which Node 20 cannot load in a worker thread: there, threads run what `tsc -b` built,
// and without the conditions that resolve our packages to sources.
const FROM_SOURCE = HERE?.endsWith('.ts') === true;

/**
 * What the threads of vCPUs run.
 *
 * @param given - told by a program that is bundled
 * @throws {KvmMachineError} BAD_OPTION
 */
function threadEntry(given: URL | undefined): URL {
  const beside = FROM_SOURCE ? '../dist/thread/entry.js' : './thread/entry.js';
  const entry = given ?? (HERE === undefined ? undefined : new URL(beside, HERE));
  if (entry !== undefined && (entry.protocol !== 'file:' || existsSync(entry))) return entry;
  throw new KvmMachineError(
    'BAD_OPTION',
    'Cannot find the module that the threads of vCPUs run: a program that is bundled passes its URL as threadModule',
  );
}

/** The vCPUs of a machine and their threads. */
export class VcpuGroup {
  readonly #vcpus: readonly VcpuControl[];
  readonly #threads = new VcpuThreads();
  readonly #ends: Promise<unknown>[] = [];
  readonly #entry: URL;

  /** @throws {KvmSysError} @throws {KvmMachineError} BAD_OPTION */
  constructor(vm: KvmVm, count: number, threadModule: URL | undefined) {
    this.#entry = threadEntry(threadModule);
    this.#vcpus = Array.from({ length: count }, (_, id) => vm.createVcpu(id));
  }

  /** Threads that have not ended. */
  get running(): number {
    return this.#threads.running;
  }

  /**
   * Starts a thread for each.
   *
   * @param entry - of the first one; the others wait until it starts them
   * @param onEnd - is told of each that ended by itself
   */
  start(
    parts: {
      readonly channel: (vcpu: number) => AccessChannel;
      readonly cpuid: readonly CpuidEntry[];
      readonly entry: EntryState;
    },
    onEnd: (end: MachineEnd) => void,
  ): void {
    const { channel, cpuid, entry } = parts;
    for (const vcpu of this.#vcpus) {
      const data: VcpuThreadData = {
        nodeVmmThread: 'vcpu',
        channel: channel(vcpu.id),
        cpuid: cpuidOf(cpuid, vcpu.id),
        ...(vcpu.id === 0 ? { entry } : {}),
      };
      const { worker, ended } = this.#threads.start(vcpu, this.#entry, data, {
        // Else the process's own, of which Node refuses some where they are named.
        ...(FROM_SOURCE ? { execArgv: [] } : threadOptions()),
        // Descriptors belong to the process, not to the thread that happens to close them.
        trackUnmanagedFds: false,
      });
      worker.on('message', ({ exit }: VcpuReport) => onEnd(endOfExit(exit, vcpu.id)));
      const failed = (why: string, cause?: unknown): void => {
        if (vcpu.stopRequested) return;
        const text = `The thread of vCPU ${vcpu.id} has ended: ${why}`;
        const error = new KvmMachineError('VCPU_FAILED', text, { vcpu: vcpu.id }, { cause });
        onEnd({ kind: 'failed', error });
      };
      const over = ended.then(
        () => failed('it gave no reason'),
        (cause: unknown) => failed(errorMessage(cause), cause),
      );
      this.#ends.push(over);
    }
  }

  /** Has all of them leave the guest, and never enter it again. */
  requestStop(): void {
    for (const vcpu of this.#vcpus) vcpu.requestStop();
  }

  /**
   * Ends when their threads have, however long that takes.
   *
   * @param onLate - is told when it takes longer than it should: one that is being started on a machine that has
   * much to do, or is in a system call of its own
   */
  async stop(onLate: (reason: string) => void): Promise<void> {
    try {
      await this.#threads.stop();
    } catch (error) {
      onLate(errorMessage(error));
    }
    await Promise.all(this.#ends);
  }
}
