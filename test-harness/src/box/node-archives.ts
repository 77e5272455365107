import { join } from 'node:path';
import { artefactFile } from './artefact.ts';
import { GUEST_NODE, NPM_NODE } from './artefacts/index.ts';
import { CpioWriter } from './cpio.ts';
import { writePackages } from './payload.ts';

/**
 * Archives for `QemuGuest.boot` that give an x86_64 guest Node.js, our packages and the harness's
 * programs, where dom0 has them: such a guest's kernel is a daemon's host. It needs 768 MiB.
 *
 * @param scratch - directory for what is made
 * @param packages - directories of workspace packages, with their dependencies
 * @throws {BoxError} `MISSING_ARTEFACT` when the harness or a package is not built
 */
export function nodeArchives(scratch: string, packages: readonly string[]): readonly string[] {
  const path = join(scratch, 'packages.cpio');
  const archive = new CpioWriter(path);
  writePackages(archive, packages, { architecture: 'x86_64', node: NPM_NODE.x86_64 });
  archive.close();
  return [artefactFile(GUEST_NODE, 'node.cpio'), path];
}
