import { dirname, join } from 'node:path';
import process from 'node:process';
import { fileURLToPath } from 'node:url';

const MANIFESTS = {
  gpio: import.meta.resolve('@node-vmm/vhost-device-gpio/package.json'),
  i2c: import.meta.resolve('@node-vmm/vhost-device-i2c/package.json'),
  rng: import.meta.resolve('@node-vmm/vhost-device-rng/package.json'),
} as const;

/**
 * How a daemon of ours is started, for `SpawnedBackends`.
 *
 * @param options - of its command line, as a shell takes them
 */
export function daemonCommand(name: keyof typeof MANIFESTS, ...options: string[]): string {
  const program = join(dirname(fileURLToPath(MANIFESTS[name])), 'dist', 'main.js');
  return [process.execPath, program, ...options, '--log-level', 'warn'].join(' ');
}
