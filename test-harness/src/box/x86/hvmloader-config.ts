import type { GuestOptions } from '../xen-machines/xen-machine.ts';

/** Where dom0 has what QEMU boots guests with hvmloader from. */
export const HVMLOADER_BOOT = {
  /** In Linux's bzImage format. */
  kernel: '/boot/guest/Image',
  initramfs: '/boot/guest/initramfs.cpio.gz',
} as const;

/**
 * Lines of an xl configuration file for a guest as users have it: hvmloader and SeaBIOS as firmware,
 * `qemu-xen` as device model. Its console is Xen's, not an emulated serial line: each character of
 * that would be several accesses that QEMU emulates.
 */
export function hvmloaderConfig(options: GuestOptions): string[] {
  const { name, memory, vcpus, cpu, kernelArgs } = options;
  return [
    `name = "${name}"`,
    'type = "hvm"',
    `memory = ${memory}`,
    `vcpus = ${vcpus}`,
    `cpus = "${cpu}"`,
    'device_model_version = "qemu-xen"',
    `kernel = "${HVMLOADER_BOOT.kernel}"`,
    `ramdisk = "${HVMLOADER_BOOT.initramfs}"`,
    `cmdline = "${`console=hvc0 loglevel=5 ${kernelArgs}`.trim()}"`,
    // QEMU does not emulate what Xen's own clock for HVM guests needs.
    'tsc_mode = "native"',
    // Emulated devices that nobody looks at cost only time.
    'vga = "none"',
    'vnc = 0',
    'usb = 0',
  ];
}
