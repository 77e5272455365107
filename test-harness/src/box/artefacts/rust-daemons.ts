import { cpSync } from 'node:fs';
import { join } from 'node:path';
import type { Artefact } from '../artefact.ts';
import { BoxError } from '../errors.ts';
import { hasProgram } from '../host-tools.ts';
import { run } from '../run-command.ts';

/** A daemon of rust-vmm, as crates.io has it. */
function rustDaemon(name: string, version: string): Artefact {
  return {
    name,
    title: `${name} ${version} (Rust)`,
    kind: 'build',
    inputs: { recipe: 1, version },
    files: [name],
    skipReason: () =>
      hasProgram('cargo') ? undefined : `no cargo on this machine; nothing is run against ${name}`,
    async build({ out, work, run: options }) {
      const root = join(work, 'root');
      const crate = [name, '--version', version, '--locked', '--root', root];
      try {
        await run(['cargo', 'install', ...crate], {
          ...options,
          env: { CARGO_TARGET_DIR: join(work, 'target') },
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

/** On vhost-user-backend 0.20, where that one is on 0.10; runs on any machine, as it needs no hardware. */
export const vhostDeviceScmi = rustDaemon('vhost-device-scmi', '0.4.0');
