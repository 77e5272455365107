import { accessSync, constants, existsSync } from 'node:fs';
import { join } from 'node:path';

/** Debian package -> a program or file that shows it is there. */
const HOST_PACKAGES: Readonly<Record<string, string>> = {
  bc: 'bc',
  bison: 'bison',
  'debian-archive-keyring': '/usr/share/keyrings/debian-archive-keyring.gpg',
  flex: 'flex',
  gcc: 'gcc',
  'gcc-aarch64-linux-gnu': 'aarch64-linux-gnu-gcc',
  kmod: 'depmod',
  'libc6-dev': '/usr/include/stdio.h',
  'libc6-dev-arm64-cross': '/usr/aarch64-linux-gnu/include/stdio.h',
  'libelf-dev': '/usr/include/libelf.h',
  'libssl-dev': '/usr/include/openssl/ssl.h',
  'libxen-dev': '/usr/include/xen/hvm/dm_op.h',
  make: 'make',
  perl: 'perl',
  python3: 'python3',
  'qemu-system-arm': 'qemu-system-aarch64',
  'qemu-system-x86': 'qemu-system-x86_64',
  'util-linux': 'setpriv',
  'xz-utils': 'xz',
};

/** Likewise, of what only a test asks for: it is skipped where its package cannot be had. */
const TEST_PACKAGES: Readonly<Record<string, string>> = {
  fish: 'fish',
  groff: 'groff',
  zsh: 'zsh',
};

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}

/** True when `program` is in the search path, or is the path of one. */
export function hasProgram(program: string): boolean {
  if (program.includes('/')) return isExecutable(program);
  const directories = (process.env['PATH'] ?? '').split(':');
  return [...directories, '/usr/sbin', '/sbin'].some((directory) =>
    isExecutable(join(directory, program)),
  );
}

/** Debian packages of which nothing is to be seen on this machine. */
export function missingHostPackages(): string[] {
  return missing(HOST_PACKAGES);
}

/** Likewise, those that setting up can do without. */
export function missingTestPackages(): string[] {
  return missing(TEST_PACKAGES);
}

function missing(packages: Readonly<Record<string, string>>): string[] {
  return Object.entries(packages)
    .filter(([, proof]) => !(proof.startsWith('/') ? existsSync(proof) : hasProgram(proof)))
    .map(([name]) => name);
}
