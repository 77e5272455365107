import { cpSync } from 'node:fs';
import { join } from 'node:path';
import { DEBIAN_ARCHITECTURES, TRIPLETS } from '../architecture.ts';
import { type Artefact, artefactFile } from '../artefact.ts';
import { CpioWriter } from '../cpio.ts';
import { followLinks, libraryClosure } from '../elf.ts';
import { NPM_NODE } from './npm-node.ts';
import { TRIXIE } from './suites.ts';

const PACKAGES = ['libc6', 'libgcc-s1', 'libstdc++6'];
const NODE = 'usr/bin/node';
const architecture = DEBIAN_ARCHITECTURES.x86_64;
const node = NPM_NODE.x86_64;

/**
 * Node.js with its libraries, to be put behind the initramfs of a guest of QEMU whose kernel is to be a
 * daemon's host. It is not compressed, as dom0's is not.
 */
export const GUEST_NODE: Artefact = {
  name: 'guest-node-x86_64',
  title: 'Node.js for guests (x86_64)',
  kind: 'fetch',
  needs: [node],
  inputs: { recipe: 1, architecture, packages: PACKAGES, npm: node.inputs },
  files: ['node.cpio'],
  async build({ out, work, run, debian }) {
    const root = join(work, 'root');
    await debian.unpack({ packages: PACKAGES, architecture, suites: TRIXIE }, root);
    cpSync(artefactFile(node, 'node'), join(root, NODE));
    const archive = new CpioWriter(join(out, 'node.cpio'));
    const libraries = [`usr/lib/${TRIPLETS.x86_64}`];
    const paths = await libraryClosure(root, [NODE], libraries, run);
    for (const path of [...followLinks(root, NODE), ...paths].sort()) {
      archive.copy(path, join(root, path));
    }
    archive.close();
  },
};
