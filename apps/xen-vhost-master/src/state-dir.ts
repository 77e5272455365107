import {
  closeSync,
  constants,
  fstatSync,
  fsyncSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import process from 'node:process';
import {
  asFd,
  closeFd,
  errorCode,
  errorMessage,
  type Fd,
  type Logger,
  tryLockFile,
} from '@node-vmm/vmm-sys-util';
import { BridgeError } from './errors.ts';
import { formatKeptGuest, type KeptGuest, parseKeptGuest } from './kept-guest.ts';

/** More than the records of a guest's devices come to. */
const MAX_BYTES = 64 * 1024 * 1024;
const OTHERS_WRITE = 0o022;
/** No link is followed, and nothing is waited for. */
const READ = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK;
const WRITE = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;

/** Where guests are kept from one bridge to the next: for root below /run, else where the user's session has such. */
export function defaultStateDir(): string | undefined {
  if (process.geteuid?.() === 0) return '/run/xen-vhost-master';
  const own = process.env['XDG_RUNTIME_DIR'];
  return own === undefined || own === '' ? undefined : join(own, 'xen-vhost-master');
}

/**
 * The directory in which guests are kept from one bridge to the next, a file each: `<domid>.json`. Locked,
 * since two bridges that share one would take up each other's.
 */
export class StateDir implements Disposable {
  readonly path: string;
  readonly #fd: Fd;
  readonly #logger: Logger;
  #live = true;

  private constructor(path: string, fd: Fd, logger: Logger) {
    this.path = path;
    this.#fd = fd;
    this.#logger = logger;
  }

  /**
   * Opens the directory, and makes it where there is none.
   *
   * @throws {BridgeError} STATE_DIR when it cannot be used, or another bridge uses it
   */
  static open(path: string, logger: Logger): StateDir {
    const refuse = (why: string, cause?: unknown): BridgeError =>
      new BridgeError(
        'STATE_DIR',
        `Cannot keep guests in ${path}: ${why}; give --state-dir a directory of its own`,
        { path },
        { cause },
      );
    let fd: Fd | undefined;
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      fd = asFd(openSync(path, constants.O_RDONLY | constants.O_DIRECTORY));
      const { uid, mode } = fstatSync(fd);
      if (uid !== process.geteuid?.()) throw refuse("it is another user's");
      if ((mode & OTHERS_WRITE) !== 0) throw refuse('other users may write to it');
      if (!tryLockFile(fd, path)) throw refuse('another bridge does');
      return new StateDir(path, fd, logger);
    } catch (error) {
      if (fd !== undefined) closeFd(fd);
      throw BridgeError.is(error) ? error : refuse(errorMessage(error), error);
    }
  }

  /**
   * Takes out what is there: the files are gone then, since what they say is true only until somebody
   * serves the guests again. What is no such file, or no longer whole, is said and left out.
   */
  take(): KeptGuest[] {
    const guests: KeptGuest[] = [];
    for (const name of readdirSync(this.path)) {
      if (!/^\d{1,5}\.json(\.new)?$/.test(name)) continue;
      const guest = this.#takeOne(name);
      if (guest !== undefined) guests.push(guest);
    }
    return guests;
  }

  #takeOne(name: string): KeptGuest | undefined {
    const path = join(this.path, name);
    const refuse = (reason: string): undefined => {
      const text = 'what was kept of a guest cannot be used, its devices are made anew';
      this.#logger.warn({ path, reason }, text);
    };
    try {
      const guest = name.endsWith('.json') ? read(path) : undefined;
      unlinkSync(path);
      if (guest === undefined) return undefined;
      if (typeof guest === 'string') return refuse(guest);
      if (name === fileOf(guest.domid)) return guest;
      return refuse(`it is of domain ${guest.domid}`);
    } catch (error) {
      return refuse(errorMessage(error));
    }
  }

  /** Writes a guest for the next bridge, all of it or nothing. @throws Node's own error with `code` */
  write(guest: KeptGuest): void {
    const path = join(this.path, fileOf(guest.domid));
    const text = formatKeptGuest(guest);
    if (Buffer.byteLength(text) > MAX_BYTES) {
      throw new BridgeError('STATE_DIR', `Cannot keep domain ${guest.domid}: it is too large`);
    }
    const fresh = `${path}.new`;
    try {
      unlinkSync(fresh);
    } catch (error) {
      if (errorCode(error) !== 'ENOENT') throw error;
    }
    const fd = openSync(fresh, WRITE, 0o600);
    try {
      writeFileSync(fd, text);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(fresh, path);
    fsyncSync(this.#fd);
  }

  close(): void {
    if (!this.#live) return;
    this.#live = false;
    closeFd(this.#fd);
  }

  [Symbol.dispose](): void {
    this.close();
  }
}

function fileOf(domid: number): string {
  return `${domid}.json`;
}

function read(path: string): KeptGuest | string {
  const fd = openSync(path, READ);
  try {
    const stat = fstatSync(fd);
    if (!stat.isFile()) return 'it is no file';
    if (stat.uid !== process.geteuid?.() || (stat.mode & OTHERS_WRITE) !== 0) {
      return 'other users may have written it';
    }
    if (stat.size > MAX_BYTES) return 'it is too large';
    return parseKeptGuest(readFileSync(fd, 'utf8'));
  } finally {
    closeSync(fd);
  }
}
