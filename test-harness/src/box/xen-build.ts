import { writeFileSync } from 'node:fs';
import { cpus } from 'node:os';
import { join } from 'node:path';
import { type RunOptions, run } from './run-command.ts';

const CONFIG_NAME = 'node_vmm_defconfig';

/**
 * Builds the arm64 hypervisor of a source tree, in place.
 *
 * @param tree - the tree; its `xen` directory is written to
 * @param config - options that differ from the architecture's defaults
 * @returns path of the binary
 * @throws {BoxError} `BUILD_FAILED` with the end of the log
 */
export async function buildXen(tree: string, config: string, options: RunOptions): Promise<string> {
  const xen = join(tree, 'xen');
  writeFileSync(join(xen, 'arch/arm/configs', CONFIG_NAME), config);
  const cross = ['XEN_TARGET_ARCH=arm64', 'CROSS_COMPILE=aarch64-linux-gnu-'];
  const make = ['make', '-C', xen, ...cross];
  await run([...make, CONFIG_NAME], options);
  await run([...make, `-j${cpus().length}`], options);
  return join(xen, 'xen');
}
