import { chmodSync, cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DEBIAN_ARCHITECTURES, TRIPLETS } from '../architecture.ts';
import type { Artefact } from '../artefact.ts';
import { followLinks, libraryClosure } from '../elf.ts';
import { run } from '../run-command.ts';

const ARCHITECTURE = 'x86_64';
const PACKAGE = 'qemu-system-x86';
const PROGRAM = 'usr/bin/qemu-system-x86_64';
const LOADER = 'usr/lib64/ld-linux-x86-64.so.2';
const LIBRARIES = `usr/lib/${TRIPLETS[ARCHITECTURE]}`;
/** Firmware and option ROMs. */
const DATA = ['usr/share/qemu', 'usr/share/seabios'];
/** 11.1 or later: its generic front-end asks for protocol features in another way than 7.2's. */
const VERSION = /^\d+:(11\.[1-9]|1[2-9]\.|[2-9]\d\.)/;
/** Debian has the newest in sid, and what works is in forky some days later. */
const SUITES = ['sid', 'forky'];

/** The program by its own loader and libraries: this machine's may be years older. */
const LAUNCHER = `#!/bin/sh
root=\${0%/*}
exec "$root/${LOADER}" --library-path "$root/${LIBRARIES}" "$root/${PROGRAM}" \\
  ${DATA.map((path) => `-L "$root/${path}"`).join(' ')} "$@"
`;

/** The newest QEMU that Debian offers, with its libraries: the front-end that users will have next. */
export const NEWEST_QEMU: Artefact = {
  name: 'qemu-x86_64',
  title: 'The newest QEMU of Debian, 11.1 or later (x86_64)',
  kind: 'fetch',
  inputs: {
    recipe: 1,
    package: PACKAGE,
    version: VERSION.source,
    suites: SUITES,
    data: DATA,
    LAUNCHER,
  },
  files: ['qemu-system-x86_64', PROGRAM],
  skipReason: () =>
    process.arch === 'x64' ? undefined : 'this machine does not run programs of x86_64',
  async build({ out, work, run: options, debian }) {
    const root = join(work, 'root');
    const architecture = DEBIAN_ARCHITECTURES[ARCHITECTURE];
    const program = { name: PACKAGE, version: VERSION, architecture, suites: SUITES };
    await debian.unpackProgram(program, root);
    const libraries = await libraryClosure(root, [PROGRAM], [LIBRARIES], options);
    for (const path of new Set([...followLinks(root, PROGRAM), ...libraries, ...DATA])) {
      cpSync(join(root, path), join(out, path), { recursive: true, verbatimSymlinks: true });
    }
    const launcher = join(out, 'qemu-system-x86_64');
    writeFileSync(launcher, LAUNCHER);
    chmodSync(launcher, 0o755);
    await run([launcher, '--version'], options);
  },
};
