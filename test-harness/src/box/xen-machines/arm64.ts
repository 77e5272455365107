import { artefactFile } from '../artefact.ts';
import type { XenMachine } from './xen-machine.ts';

const KERNEL = '/boot/guest/Image';
const INITRD = '/boot/guest/initramfs.cpio.gz';

/** QEMU's `virt`: Xen as the kernel, dom0 by two guest loaders. */
export const arm64Machine: XenMachine = {
  architecture: 'arm64',
  program: 'qemu-system-aarch64',
  dom0Vcpus: 1,

  qemuArguments({ bed, initrd }, options) {
    const { memory, dom0Memory, dom0Vcpus, xenArgs, kernelArgs } = options;
    // Nobody moves between CPUs (guests are pinned in their configuration): interrupts that are on
    // their way while Xen moves a vCPU get lost in QEMU's interrupt controller, and dom0 then sleeps
    // for ever.
    // QEMU's memory is zeroed by the host; scrubbing it again costs seconds.
    const xen = [
      `dom0_mem=${dom0Memory}M dom0_max_vcpus=${dom0Vcpus} dom0_vcpus_pin bootscrub=0`,
      `loglvl=info guest_loglvl=info console=dtuart ${xenArgs}`,
    ];
    const dom0 = `console=hvc0 loglevel=5 ${kernelArgs}`.trim();
    return [
      ...['-machine', 'virt,virtualization=on,gic-version=2,memory-backend=mem'],
      ...['-cpu', 'cortex-a57', '-accel', 'tcg,thread=multi', '-smp', String(dom0Vcpus + 1)],
      ...['-m', String(memory), '-nic', 'none'],
      ...['-kernel', artefactFile(bed.xen, 'xen'), '-append', xen.join(' ').trim()],
      '-device',
      `guest-loader,addr=0x46000000,kernel=${artefactFile(bed.kernel, 'Image')},bootargs=${dom0}`,
      ...['-device', `guest-loader,addr=0x50000000,initrd=${initrd}`],
    ];
  },

  deviceOptions: () => '',

  guestFiles: (bed) => ({
    [KERNEL.slice(1)]: artefactFile(bed.kernel, 'Image'),
    [INITRD.slice(1)]: artefactFile(bed.guest, 'initramfs.cpio.gz'),
  }),

  guestConfig: ({ name, memory, vcpus, cpu, kernelArgs }) => [
    `name = "${name}"`,
    `kernel = "${KERNEL}"`,
    `ramdisk = "${INITRD}"`,
    `memory = ${memory}`,
    `vcpus = ${vcpus}`,
    // dom0 has the other CPUs for itself; why nobody may move is told above.
    `cpus = "${cpu}"`,
    `extra = "${`console=hvc0 loglevel=5 ${kernelArgs}`.trim()}"`,
  ],

  guestPrepare: () => '',
  guestCleanUp: () => '',
};
