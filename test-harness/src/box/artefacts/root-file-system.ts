import { join } from 'node:path';
import { asset } from '../artefact.ts';
import type { CpioWriter } from '../cpio.ts';
import { followLinks, libraryClosure } from '../elf.ts';
import type { RunOptions } from '../run-command.ts';

/** What of some unpacked Debian packages goes into an initramfs. */
export interface RootFileSystem {
  /** Directory with the unpacked packages. */
  readonly root: string;
  /** GNU triplet, the name of the library directory. */
  readonly triplet: string;
  /** Programs below `root`; they keep their path. Their libraries come along. */
  readonly programs: readonly string[];
  /** File of `test-harness/box/` -> path in the initramfs; all of them are executable. */
  readonly scripts: Readonly<Record<string, string>>;
}

/** Scripts that a description refers to, for the artefact's hash. */
export function scriptInputs(scripts: RootFileSystem['scripts']): Record<string, string> {
  return Object.fromEntries(Object.entries(scripts).map(([name, path]) => [path, asset(name)]));
}

/** Writes a minimal Debian-like (merged /usr) root with busybox as init. */
export async function writeRootFileSystem(
  archive: CpioWriter,
  { root, triplet, programs, scripts }: RootFileSystem,
  options: RunOptions,
): Promise<void> {
  for (const name of ['bin', 'sbin', 'lib', 'lib64']) {
    archive.directory(`usr/${name}`);
    archive.symlink(name, `usr/${name}`);
  }
  for (const name of ['dev', 'etc', 'proc', 'root', 'run', 'sys', 'var/log', 'var/lib']) {
    archive.directory(name);
  }
  archive.directory('tmp', 0o1777);
  archive.symlink('var/run', '../run');
  archive.symlink('var/lock', '../run/lock');
  // The kernel opens it for init before init can mount anything.
  archive.characterDevice('dev/console', 5, 1);
  archive.symlink('init', 'usr/bin/busybox');
  archive.file('etc/passwd', 'root:x:0:0:root:/root:/bin/sh\n');
  archive.file('etc/group', 'root:x:0:\n');
  for (const [name, path] of Object.entries(scripts)) archive.file(path, asset(name), 0o755);

  const libraries = await libraryClosure(root, programs, [`usr/lib/${triplet}`], options);
  const paths = new Set([...programs.flatMap((path) => followLinks(root, path)), ...libraries]);
  for (const path of [...paths].sort()) archive.copy(path, join(root, path));
}
