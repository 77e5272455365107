import { join } from 'node:path';
import { DEBIAN_ARCHITECTURES, TRIPLETS } from '../architecture.ts';
import type { Artefact } from '../artefact.ts';
import { CpioWriter } from '../cpio.ts';
import { followLinks, libraryClosure } from '../elf.ts';
import { dom0Packages } from './dom0.ts';
import { XEN_4_17, XEN_4_20, XEN_SERIES, type XenSeries } from './xen-series.ts';

const ARCHITECTURE = 'x86_64';
const QEMU = 'usr/libexec/xen-qemu-system-i386';

const PACKAGES = [
  'libffi8',
  'libgstreamer-plugins-base1.0-0',
  'libgstreamer1.0-0',
  'libjpeg62-turbo',
  'liblz4-1',
  'libopus0',
  'libpcre2-8-0',
  'libpixman-1-0',
  'libsasl2-2',
  'libspice-server1',
  'libudev1',
  'libusb-1.0-0',
  'qemu-system-data',
  'qemu-system-xen',
  'seabios',
];

/** What QEMU of that Debian needs besides. */
const LIBRARIES: Readonly<Record<string, readonly string[]>> = {
  [XEN_4_17.name]: [
    ...['libdw1', 'libelf1', 'libglib2.0-0', 'liborc-0.4-0', 'libssl3', 'libunwind8'],
  ],
  [XEN_4_20.name]: [
    ...['libatomic1', 'libcap2', 'libglib2.0-0t64', 'liborc-0.4-0t64', 'libssl3t64', 'libxxhash0'],
  ],
};

/** What QEMU and libxl read: firmware, the option ROM that boots a kernel, keyboards. */
function dataOf(series: XenSeries): string[] {
  return [
    `usr/lib/xen-${series.name}/boot/hvmloader`,
    'usr/share/seabios/bios-256k.bin',
    'usr/share/qemu/keymaps',
    'usr/share/qemu/kvmvapic.bin',
    'usr/share/qemu/linuxboot.bin',
    'usr/share/qemu/linuxboot_dma.bin',
  ];
}

function deviceModel(series: XenSeries): Artefact {
  const { suites } = series;
  // QEMU's libraries are part of it, those that dom0 has as well: of one version all of them.
  const packages = [
    ...dom0Packages(series, ARCHITECTURE),
    ...PACKAGES,
    ...(LIBRARIES[series.name] ?? []),
  ];
  const data = dataOf(series);
  return {
    name: `device-model-${series.name}`,
    title: `hvmloader, SeaBIOS and QEMU for dom0 (tools ${series.name})`,
    kind: 'fetch',
    inputs: { recipe: 1, packages, suite: suites[0], program: QEMU, data },
    files: ['device-model.cpio'],
    async build({ out, work, run, debian }) {
      const root = join(work, 'root');
      const architecture = DEBIAN_ARCHITECTURES[ARCHITECTURE];
      await debian.unpack({ packages, architecture, suites }, root);
      const directories = [`usr/lib/${TRIPLETS[ARCHITECTURE]}`];
      const libraries = await libraryClosure(root, [QEMU], directories, run);
      const paths = new Set([...followLinks(root, QEMU), ...libraries, ...data]);
      const archive = new CpioWriter(join(out, 'device-model.cpio'));
      for (const path of [...paths].sort()) archive.copy(path, join(root, path));
      archive.close();
    },
  };
}

/** What dom0 needs for HVM guests as users have them, by series; added to its initramfs on demand. */
export const DEVICE_MODELS: Readonly<Record<string, Artefact>> = Object.fromEntries(
  XEN_SERIES.map((series) => [series.name, deviceModel(series)]),
);
