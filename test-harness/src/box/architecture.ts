import type { DebianArchitecture } from './apt.ts';

/** Architectures of emulated machines. */
export type Architecture = 'arm64' | 'x86_64';

/** GNU triplets: names of library directories and prefixes of compilers. */
export const TRIPLETS: Readonly<Record<Architecture, string>> = {
  arm64: 'aarch64-linux-gnu',
  x86_64: 'x86_64-linux-gnu',
};

/** Debian's names. */
export const DEBIAN_ARCHITECTURES: Readonly<Record<Architecture, DebianArchitecture>> = {
  arm64: 'arm64',
  x86_64: 'amd64',
};
