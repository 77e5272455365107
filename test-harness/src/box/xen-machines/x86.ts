import { join } from 'node:path';
import { artefactFile } from '../artefact.ts';
import { BoxError } from '../errors.ts';
import { ASSETS } from '../paths.ts';
import { COMMAND_LINE_TAG } from '../x86/boot-image.ts';
import { HVM_BOOT, hvmConfig } from '../x86/hvm-config.ts';
import { HVMLOADER_BOOT, hvmloaderConfig } from '../x86/hvmloader-config.ts';
import type { GuestOptions, XenMachine } from './xen-machine.ts';

/**
 * What nested virtualisation in QEMU 7.2 bears: Xen gets #GP in MWAIT, dom0 dies in IRETQ with SMAP,
 * and time runs wrong with RDTSCP; what saves wide registers only costs time.
 */
const CPU = [
  'EPYC,+svm,+npt,-monitor,-smap,-rdtscp',
  '-avx,-avx2,-fma,-f16c,-xsave,-xsaveopt,-xsavec,-xgetbv1',
].join(',');

function bootFile(name: string): string {
  return `/root/${name}.boot`;
}

/** QEMU's `q35` with nested SVM: Xen as a Multiboot kernel, dom0 as its first module. */
export const x86Machine: XenMachine = {
  architecture: 'x86_64',
  program: 'qemu-system-x86_64',
  dom0Vcpus: 1,

  qemuArguments({ bed, initrd }, options) {
    const { memory, dom0Memory, dom0Vcpus, xenArgs, kernelArgs } = options;
    const xen = [
      'console=com1 com1=115200,8n1 loglvl=info guest_loglvl=info bootscrub=0',
      `dom0_mem=${dom0Memory}M,max:${dom0Memory}M dom0_max_vcpus=${dom0Vcpus} dom0_vcpus_pin`,
      xenArgs,
    ];
    const pvh = bed.dom0Kind === 'PVH';
    // Xen takes no PVH dom0 without an IOMMU.
    if (pvh) xen.push('dom0=pvh iommu=no-sharept');
    const kernel = `${artefactFile(bed.kernel, 'vmlinux')} console=hvc0 loglevel=5 ${kernelArgs}`;
    return [
      ...['-machine', `q35,memory-backend=mem${pvh ? ',kernel-irqchip=split' : ''}`, '-cpu', CPU],
      ...(pvh ? ['-device', 'intel-iommu,intremap=on,aw-bits=48'] : []),
      ...['-accel', 'tcg,thread=multi,tb-size=512', '-smp', String(dom0Vcpus + 1)],
      ...['-m', String(memory), '-nodefaults', '-no-user-config', '-nic', 'none'],
      ...['-kernel', artefactFile(bed.xen, 'xen'), '-append', xen.join(' ').trim()],
      ...['-initrd', `${kernel.trim()},${initrd}`],
    ];
  },

  deviceOptions: ({ dom0Kind }) =>
    dom0Kind === 'PVH' ? 'disable-legacy=on,iommu_platform=on' : '',

  guestFiles(bed, firmwares) {
    const { boot } = bed;
    if (boot === undefined) {
      throw new BoxError('MISSING_ARTEFACT', `Cannot boot guests of ${bed.name}: no boot image`);
    }
    return {
      [HVM_BOOT.shim.slice(1)]: artefactFile(boot, 'shim'),
      [HVM_BOOT.image.slice(1)]: artefactFile(boot, 'image'),
      [HVM_BOOT.deviceModel.slice(1)]: join(ASSETS, 'x86_64/no-device-model'),
      ...(firmwares.includes('hvmloader')
        ? {
            [HVMLOADER_BOOT.kernel.slice(1)]: artefactFile(bed.kernel, 'Image'),
            [HVMLOADER_BOOT.initramfs.slice(1)]: artefactFile(bed.guest, 'initramfs.cpio.gz'),
          }
        : {}),
    };
  },

  guestConfig: (guest) =>
    guest.firmware === 'hvmloader'
      ? hvmloaderConfig(guest)
      : hvmConfig({ ...guest, firmware: bootFile(guest.name) }),

  guestPrepare({ name, kernelArgs, firmware }: GuestOptions) {
    if (firmware === 'hvmloader') return '';
    const path = bootFile(name);
    const text = `console=hvc0 loglevel=5 ${kernelArgs}`.trim();
    // A page with the command line, then what all guests have in common.
    return (
      `printf '${COMMAND_LINE_TAG}%s' '${text}' | dd of=${path} bs=4096 conv=sync 2>/dev/null && ` +
      `cat ${HVM_BOOT.image} >>${path}`
    );
  },

  guestCleanUp: (name) => `rm -f ${bootFile(name)}`,
};
