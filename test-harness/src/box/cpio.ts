import {
  closeSync,
  lstatSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';

const S_IFDIR = 0o040000;
const S_IFCHR = 0o020000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const TRAILER = 'TRAILER!!!';

/**
 * Writes an initramfs archive: cpio `newc`, everything owned by root and dated 0, so that equal
 * content gives equal bytes. The kernel unpacks several such archives after each other, which is
 * why {@link CpioWriter.close} pads to a multiple of 512.
 *
 * @see Linux Documentation/driver-api/early-userspace/buffer-format.rst
 */
export class CpioWriter {
  readonly #fd: number;
  readonly #directories = new Set<string>(['']);
  #inode = 1;
  #length = 0;

  /** @param path - file to write; truncated when it exists */
  constructor(path: string) {
    this.#fd = openSync(path, 'w');
  }

  /** Adds a directory and its parents, unless they are there. */
  directory(path: string, mode = 0o755): void {
    const name = path.replace(/^\/+|\/+$/g, '');
    if (this.#directories.has(name)) return;
    const slash = name.lastIndexOf('/');
    if (slash > 0) this.directory(name.slice(0, slash));
    this.#directories.add(name);
    this.#entry(name, S_IFDIR | mode);
  }

  /** Adds a regular file and its parent directories. */
  file(path: string, data: string | Uint8Array, mode = 0o644): void {
    this.#parent(path);
    this.#entry(path, S_IFREG | mode, typeof data === 'string' ? Buffer.from(data) : data);
  }

  /** Adds a symbolic link. */
  symlink(path: string, target: string): void {
    this.#parent(path);
    this.#entry(path, S_IFLNK | 0o777, Buffer.from(target));
  }

  /** Adds a character device. */
  characterDevice(path: string, major: number, minor: number, mode = 0o600): void {
    this.#parent(path);
    this.#entry(path, S_IFCHR | mode, undefined, major, minor);
  }

  /**
   * Adds a file, link or directory tree of the host.
   *
   * @param path - where it goes in the archive
   * @param source - where it is
   * @param accept - decides about each entry by its path below `source`; `''` is `source` itself
   */
  copy(path: string, source: string, accept: (path: string) => boolean = () => true): void {
    const walk = (below: string): void => {
      if (!accept(below)) return;
      const from = join(source, below);
      const to = below === '' ? path : `${path}/${below}`;
      const stat = lstatSync(from);
      if (stat.isSymbolicLink()) this.symlink(to, readlinkSync(from));
      else if (stat.isFile()) this.file(to, readFileSync(from), stat.mode & 0o777);
      else if (stat.isDirectory()) {
        this.directory(to);
        for (const name of readdirSync(from).sort()) walk(below === '' ? name : `${below}/${name}`);
      }
    };
    walk('');
  }

  /** Ends the archive. */
  close(): void {
    this.#entry(TRAILER, 0);
    this.#write(Buffer.alloc(-this.#length & 511));
    closeSync(this.#fd);
  }

  #parent(path: string): void {
    const slash = path.lastIndexOf('/');
    if (slash > 0) this.directory(path.slice(0, slash));
  }

  #entry(
    path: string,
    mode: number,
    data: Uint8Array = new Uint8Array(),
    major = 0,
    minor = 0,
  ): void {
    const name = Buffer.from(`${path.replace(/^\/+/, '')}\0`);
    const fields = [
      path === TRAILER ? 0 : this.#inode++,
      mode,
      0, // uid
      0, // gid
      1, // nlink
      0, // mtime
      data.length,
      0, // device of the file system, major and minor
      0,
      major,
      minor,
      name.length,
      0, // check sum, unused in this format
    ];
    const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
    this.#write(Buffer.from(header));
    this.#write(name);
    this.#align();
    this.#write(data);
    this.#align();
  }

  #align(): void {
    this.#write(Buffer.alloc(-this.#length & 3));
  }

  #write(bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length; ) done += writeSync(this.#fd, bytes, done);
    this.#length += bytes.length;
  }
}
