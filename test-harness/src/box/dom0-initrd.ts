import { appendFileSync, copyFileSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { type Artefact, artefactFile } from './artefact.ts';
import type { Bed } from './bed.ts';
import { CpioWriter } from './cpio.ts';
import { BoxError } from './errors.ts';
import { type Payload, writePayload } from './payload.ts';
import { deviceModelStatus } from './status.ts';
import { MACHINES } from './xen-machines/index.ts';

/**
 * What dom0 needs for guests with hvmloader.
 *
 * @throws {BoxError} `MISSING_ARTEFACT` when it is not there, `BAD_OPTION` when the bed has none
 */
export function deviceModelOf(bed: Bed): Artefact {
  const { deviceModel } = bed;
  const { ready, reason } = deviceModelStatus(bed);
  if (deviceModel !== undefined && ready) return deviceModel;
  throw new BoxError(
    deviceModel === undefined ? 'BAD_OPTION' : 'MISSING_ARTEFACT',
    `Cannot boot ${bed.name} with a device model: ${reason}`,
  );
}

/**
 * Writes dom0's initramfs: user space, kernel modules, guests, code under test, one after the other.
 *
 * @param scratch - directory for it
 * @param deviceModel - added for guests with hvmloader
 * @returns its path
 */
export function writeInitrd(
  scratch: string,
  bed: Bed,
  payload: Payload,
  deviceModel: Artefact | undefined,
): string {
  const extra = join(scratch, 'payload.cpio');
  const archive = new CpioWriter(extra);
  const hvmloader = deviceModel === undefined ? [] : (['hvmloader'] as const);
  const guestFiles = MACHINES[bed.architecture].guestFiles(bed, ['shim', ...hvmloader]);
  for (const [path, file] of Object.entries(guestFiles)) archive.copy(path, file);
  const absent = writePayload(archive, bed, payload);
  archive.close();
  if (absent.length > 0) process.stderr.write(`box: without ${absent.join(', ')}: not built\n`);
  const initrd = join(scratch, 'initrd');
  copyFileSync(artefactFile(bed.dom0, 'rootfs.cpio'), initrd);
  const archives = [
    artefactFile(bed.kernel, 'modules.cpio'),
    ...(deviceModel === undefined ? [] : [artefactFile(deviceModel, 'device-model.cpio')]),
    extra,
  ];
  for (const path of archives) appendFileSync(initrd, readFileSync(path));
  rmSync(extra);
  return initrd;
}
