import { closeSync, constants, fchmodSync, fchownSync, fstatSync, openSync } from 'node:fs';
import { geteuid } from 'node:process';
import { asFd, errorMessage, type Fd, Mapping, tryLockFile } from '@node-vmm/vmm-sys-util';
import { STATE_MAP_LENGTH, type StateMemory } from '../between/state-memory.ts';
import type { DeviceSpec, FileOwner } from '../device-spec.ts';
import { VhostUserBackendError } from '../errors.ts';

/** Whatever is at the path: no link is followed, and nothing is waited for. */
const FLAGS =
  constants.O_RDWR |
  constants.O_CREAT |
  constants.O_NOFOLLOW |
  constants.O_NONBLOCK |
  constants.O_NOCTTY;
const MODE = 0o600;

/** The file of a device's state: open, locked and mapped for as long as the device exists. */
export class StateFile implements Disposable {
  readonly #fd: Fd;
  readonly #mapping: Mapping;
  #live = true;

  private constructor(fd: Fd, mapping: Mapping) {
    this.#fd = fd;
    this.#mapping = mapping;
  }

  /**
   * Opens the state file of a device, if it is to have one. The directory may be another user's: the file
   * has to be ours or its owner's to be, and have no other name.
   *
   * @throws {VhostUserBackendError} STATE_FILE
   */
  static of({ name, statePath, stateOwner }: DeviceSpec): StateFile | undefined {
    if (statePath === undefined) return undefined;
    const refuse = (why: string, cause?: unknown): VhostUserBackendError =>
      new VhostUserBackendError(
        'STATE_FILE',
        `Cannot use state file ${statePath} for device ${name}: ${why}`,
        { device: name, path: statePath },
        { cause },
      );
    let fd: Fd | undefined;
    try {
      fd = asFd(openSync(statePath, FLAGS, MODE));
      const problem = problemOf(fd, stateOwner);
      if (problem !== undefined) throw refuse(problem);
      if (!tryLockFile(fd, statePath)) {
        throw refuse('another process or device has it; give each a file of its own');
      }
      fchmodSync(fd, MODE);
      if (stateOwner !== undefined) fchownSync(fd, stateOwner.uid, stateOwner.gid);
      // Behind the end of the file nobody looks before it is that long.
      const mapping = Mapping.create({ length: STATE_MAP_LENGTH, fd, subject: statePath });
      return new StateFile(fd, mapping);
    } catch (error) {
      if (fd !== undefined) closeSync(fd);
      throw VhostUserBackendError.is(error) ? error : refuse(errorMessage(error), error);
    }
  }

  /** For the device's first instance. */
  get memory(): StateMemory {
    return { fd: this.#fd, pointer: this.#mapping.pointer };
  }

  /** To be called when no instance looks at it any more. Idempotent. */
  close(): void {
    if (!this.#live) return;
    this.#live = false;
    this.#mapping.close();
    closeSync(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

/**
 * A file that others write to, or that has another name elsewhere, is not to be written, changed or given
 * away by a process that may be root.
 */
function problemOf(fd: Fd, owner: FileOwner | undefined): string | undefined {
  const stat = fstatSync(fd);
  if (!stat.isFile()) return 'it is no regular file; remove it or choose another';
  if (stat.nlink !== 1) return 'it has another name elsewhere (a hard link); remove it';
  if (stat.uid === geteuid?.() || stat.uid === owner?.uid) return undefined;
  return `it belongs to user ${stat.uid}; remove it or choose another`;
}
