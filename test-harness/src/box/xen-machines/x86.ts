import { artefactFile } from '../artefact.ts';
import type { XenMachine } from './xen-machine.ts';

/** QEMU's `q35` with nested SVM. */
export const x86Machine: XenMachine = {
  architecture: 'x86_64',
  program: 'qemu-system-x86_64',
  dom0Vcpus: 1,
  qemuArguments({ bed, initrd }, options) {
    const { memory, dom0Memory, dom0Vcpus, xenArgs, kernelArgs } = options;
    const xen = `console=com1 com1=115200,8n1 dom0_mem=${dom0Memory}M,max:${dom0Memory}M dom0_max_vcpus=${dom0Vcpus} bootscrub=0 ${xenArgs}`;
    return [
      ...['-M', 'q35,memory-backend=mem', '-accel', 'tcg,thread=multi,tb-size=512'],
      ...[
        '-cpu',
        'EPYC,+svm,+npt,-monitor,-smap,-rdtscp,-avx,-avx2,-fma,-f16c,-xsave,-xsaveopt,-xsavec,-xgetbv1',
      ],
      ...['-smp', '2', '-m', String(memory), '-nodefaults', '-no-user-config'],
      ...['-kernel', artefactFile(bed.xen, 'xen'), '-append', xen.trim()],
      ...[
        '-initrd',
        `${artefactFile(bed.kernel, 'vmlinux')} console=hvc0 loglevel=5 ${kernelArgs},${initrd}`,
      ],
    ];
  },
  guestFiles: () => ({}),
  guestConfig: () => [],
  guestPrepare: () => '',
};
