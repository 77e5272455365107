/** Where dom0 has what HVM guests without a device model boot from. */
export const HVM_BOOT = {
  /** `box/x86_64/shim.c`, compiled. */
  shim: '/boot/guest/shim',
  /** See `bootImage`. */
  image: '/boot/guest/image',
  /** `box/x86_64/no-device-model`. */
  deviceModel: '/boot/guest/no-device-model',
} as const;

/** An HVM guest without a device model. */
export interface HvmOptions {
  readonly name: string;
  /** MiB; 128 is the least for the kernel, the shim and what the shim boots. */
  readonly memory: number;
  readonly vcpus: number;
  /** CPU that it runs on. */
  readonly cpu: number;
  /** Path in dom0 of the guest's command line page and the boot image, one after the other. */
  readonly firmware: string;
}

/**
 * Lines of an xl configuration file for Xen 4.17 to 4.20 (4.21 has no `qemu-xen-traditional`, the
 * only device model version for which libxl speaks no QMP). The guest's console is Xen's, `hvc0`:
 * `xenconsole --type pv`, as xenconsole looks for an emulated serial line by default.
 */
export function hvmConfig({ name, memory, vcpus, cpu, firmware }: HvmOptions): string[] {
  return [
    `name = "${name}"`,
    'type = "hvm"',
    `memory = ${memory}`,
    `vcpus = ${vcpus}`,
    `cpus = "${cpu}"`,
    'device_model_version = "qemu-xen-traditional"',
    `device_model_override = "${HVM_BOOT.deviceModel}"`,
    `firmware_override = "${HVM_BOOT.shim}"`,
    `smbios_firmware = "${firmware}"`,
    // QEMU does not emulate what Xen's own clock for HVM guests needs.
    'tsc_mode = "native"',
    // Whatever would need a device model, or makes libxl think that it does.
    'vga = "none"',
    'vnc = 0',
    'usb = 0',
    'vkb_device = 0',
    'xen_platform_pci = 0',
  ];
}
