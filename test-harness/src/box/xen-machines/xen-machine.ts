import type { Architecture } from '../architecture.ts';
import type { Bed } from '../bed.ts';

/** What a machine boots. */
export interface BootFiles {
  readonly bed: Bed;
  /** dom0's whole initramfs. */
  readonly initrd: string;
  /** Directory for further files of this run. */
  readonly scratch: string;
}

/** What HVM guests of x86 start with: our own, without device model, or what users have. */
export type Firmware = 'shim' | 'hvmloader';

/** How it is to boot. */
export interface BootOptions {
  /** MiB of the whole machine. */
  readonly memory: number;
  /** MiB. */
  readonly dom0Memory: number;
  readonly dom0Vcpus: number;
  /** Added to the hypervisor's command line. */
  readonly xenArgs: string;
  /** Added to dom0's kernel command line. */
  readonly kernelArgs: string;
  /** Socket of a vhost-user I2C daemon: dom0 gets an adapter from it. */
  readonly i2cSocket: string | undefined;
}

/** A guest's configuration, as far as its architecture does not matter. */
export interface GuestOptions {
  readonly name: string;
  /** MiB. */
  readonly memory: number;
  readonly vcpus: number;
  /** CPU of the machine that guests run on. */
  readonly cpu: number;
  readonly kernelArgs: string;
  /** Guests of arm64 need none. */
  readonly firmware: Firmware;
}

/** What differs between the emulated machines of the architectures. */
export interface XenMachine {
  readonly architecture: Architecture;
  /** QEMU. */
  readonly program: string;
  /** vCPUs of dom0 that the machine's interrupt controller bears. */
  readonly dom0Vcpus: number;
  /** Arguments of QEMU, without chardevs, consoles and ports that all machines have. */
  qemuArguments(files: BootFiles, options: BootOptions): string[];
  /** Options of the virtio devices that QEMU gives dom0; empty for none. */
  deviceOptions(bed: Bed): string;
  /** What dom0 needs to create guests: path in dom0 -> file of this machine. */
  guestFiles(bed: Bed, firmwares: readonly Firmware[]): Readonly<Record<string, string>>;
  /** Lines of xl's configuration file. */
  guestConfig(options: GuestOptions): string[];
  /** Shell command that dom0 runs before `xl create`; empty for none. */
  guestPrepare(options: GuestOptions): string;
  /** Shell command that dom0 runs when the guest is gone for good; empty for none. */
  guestCleanUp(name: string): string;
}
