import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Artefact } from '../artefact.ts';
import { BoxError } from '../errors.ts';
import { hasProgram } from '../host-tools.ts';
import { run } from '../run-command.ts';

/** How cargo makes a daemon that runs in dom0, whose libraries are not this machine's. */
const FOR_DOM0 = {
  target: 'x86_64-unknown-linux-gnu',
  flags: '-C target-feature=+crt-static',
} as const;

/**
 * A daemon of rust-vmm, as crates.io has it.
 *
 * @param xen - with its feature `xen`, which makes it map Xen's foreign memory alone, for an x86_64 dom0
 */
function rustDaemon(name: string, version: string, xen = false): Artefact {
  return {
    name: xen ? `${name}-xen` : name,
    title: `${name} ${version} (Rust${xen ? ', for Xen' : ''})`,
    kind: 'build',
    inputs: { recipe: 1, version, ...(xen ? FOR_DOM0 : {}) },
    files: [name],
    skipReason: () => {
      if (!hasProgram('cargo')) return `no cargo on this machine; nothing is run against ${name}`;
      if (xen && process.arch !== 'x64') return 'this machine does not build programs of x86_64';
      return undefined;
    },
    async build({ out, work, run: options }) {
      const root = join(work, 'root');
      const crate = [name, '--version', version, '--locked', '--root', root];
      if (xen) crate.push('--features', 'xen', '--target', FOR_DOM0.target);
      const env = { CARGO_TARGET_DIR: join(work, 'target') };
      try {
        await run(['cargo', 'install', ...crate], {
          ...options,
          env: xen ? { ...env, RUSTFLAGS: FOR_DOM0.flags } : env,
        });
      } catch (cause) {
        if (!BoxError.is(cause, 'BUILD_FAILED')) throw cause;
        // The registry does not carry it, or this Rust is too old for it.
        const reason = /^error: (.*)$/m.exec(cause.message)?.[1] ?? 'cargo failed';
        throw new BoxError(
          'NOT_AVAILABLE',
          `Cannot install ${name} ${version}: ${reason}; see ${options.log}`,
          { cause },
        );
      }
      cpSync(join(root, 'bin', name), join(out, name));
    },
  };
}

/** The entropy daemon: the peer that the benchmarks compare with. 0.1.0 is the newest there is. */
export const vhostDeviceRng = rustDaemon('vhost-device-rng', '0.1.0');

/** The same for dom0. */
export const vhostDeviceRngXen = rustDaemon('vhost-device-rng', '0.1.0', true);

/** On vhost-user-backend 0.20, where that one is on 0.10; runs on any machine, as it needs no hardware. */
export const vhostDeviceScmi = rustDaemon('vhost-device-scmi', '0.4.0');
