import type { Program } from '@node-vmm/vhost-device-cli';
import { parseKvmArguments } from './kvm-args.ts';

/**
 * `xen-vhost-master kvm`.
 *
 * @param argv - without the word `kvm`
 * @returns the exit code
 */
export async function kvmMain(argv: readonly string[], program: Program): Promise<number> {
  const parsed = await parseKvmArguments(argv);
  if ('print' in parsed) return program.print(parsed.print);
  // Here and not above: who asks for a version waits for no native code.
  const { serveKvm } = await import('./serve-kvm.ts');
  return serveKvm(parsed.run, program);
}
