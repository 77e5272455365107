import { asFd, type Fd } from './brand.ts';
import { EAGAIN, EMFILE } from './errno.ts';
import { SysError } from './errors.ts';
import { closeFd, closeFds, dupFd } from './fd.ts';
import { addressOf, check, errno, retry, sys } from './libc.ts';
import { bytes, i32, struct, u16, u32, u64 } from './struct.ts';

/** bits/socket.h. */
export const SOL_SOCKET = 1;
/** bits/socket.h. */
export const SCM_RIGHTS = 1;
/** bits/socket.h. */
export const MSG_CTRUNC = 0x8;
/** bits/socket.h. */
export const MSG_DONTWAIT = 0x40;
/** bits/socket.h. */
export const MSG_NOSIGNAL = 0x4000;
/** bits/socket.h. */
export const MSG_CMSG_CLOEXEC = 0x40000000;

/** `struct iovec`, bits/types/struct_iovec.h. */
export const IOVEC = struct('iovec', { iov_base: u64(0), iov_len: u64(8) }, { size: 16 });

/** `struct msghdr`, bits/socket.h (64-bit). */
export const MSGHDR = struct(
  'msghdr',
  {
    msg_name: u64(0),
    msg_namelen: u32(8),
    msg_iov: u64(16),
    msg_iovlen: u64(24),
    msg_control: u64(32),
    msg_controllen: u64(40),
    msg_flags: i32(48),
  },
  { size: 56 },
);

/** `struct cmsghdr`, bits/socket.h (64-bit); data follows. */
export const CMSGHDR = struct(
  'cmsghdr',
  { cmsg_len: u64(0), cmsg_level: i32(8), cmsg_type: i32(12) },
  { size: 16 },
);

const align8 = (n: number): number => (n + 7) & ~7;

/** What one receive brought. */
export interface Received {
  /** Bytes of data, 0 when the peer closed. */
  readonly bytes: number;
  /** Descriptors, close-on-exec; the receiver owns them. */
  readonly fds: Fd[];
  /** True when descriptors were lost because there were over `maxFds`: those kept are closed. */
  readonly truncated: boolean;
  /**
   * Why descriptors were lost that this process would have taken: EMFILE where it may have no more. Those
   * kept are closed. The peer has done nothing wrong.
   */
  readonly shortage?: SysError;
}

/**
 * Sends and receives bytes with descriptors on a Unix stream socket. Holds the buffers that the
 * kernel's structures live in, so one object per socket serves without allocation.
 */
export class SockCtrlMsg {
  readonly #fd: Fd;
  readonly #iov = new ArrayBuffer(IOVEC.SIZE);
  readonly #iovView = new DataView(this.#iov);
  readonly #msg = new ArrayBuffer(MSGHDR.SIZE);
  readonly #msgView = new DataView(this.#msg);
  readonly #control: ArrayBuffer;
  readonly #controlView: DataView;
  readonly #maxFds: number;

  /**
   * @param fd - the socket, stays the caller's
   * @param maxFds - most descriptors in one message, up to the kernel's 253
   */
  constructor(fd: Fd, maxFds: number) {
    this.#fd = fd;
    this.#maxFds = maxFds;
    this.#control = new ArrayBuffer(CMSGHDR.SIZE + align8(4 * maxFds));
    this.#controlView = new DataView(this.#control);
    MSGHDR.write(this.#msgView, 0, { msg_iov: addressOf(this.#iov), msg_iovlen: 1n });
  }

  /**
   * Sends bytes, with descriptors attached to the first of them.
   *
   * @returns bytes taken, possibly fewer than given (the descriptors went with them), or -1 when the
   * socket is full (nothing went)
   * @throws {SysError} EPIPE, ECONNRESET ...
   * @throws {RangeError} with more than `maxFds` descriptors
   */
  send(data: Uint8Array, fds: readonly Fd[] = []): number {
    if (fds.length > this.#maxFds) {
      throw new RangeError(`"fds" expected at most ${this.#maxFds}, got ${fds.length}`);
    }
    this.#setData(data);
    if (fds.length === 0) {
      MSGHDR.write(this.#msgView, 0, { msg_control: 0n, msg_controllen: 0n });
    } else {
      const length = CMSGHDR.SIZE + 4 * fds.length;
      CMSGHDR.write(this.#controlView, 0, {
        cmsg_len: BigInt(length),
        cmsg_level: SOL_SOCKET,
        cmsg_type: SCM_RIGHTS,
      });
      fds.forEach((fd, i) => {
        this.#controlView.setInt32(CMSGHDR.SIZE + 4 * i, fd, true);
      });
      this.#setControl(align8(length));
    }
    // SAFETY: msghdr, iovec and control live in this object, the data in the caller's frame.
    const n = retry(() => sys.sendmsg(this.#fd, this.#msg, MSG_NOSIGNAL | MSG_DONTWAIT));
    return n < 0 && errno() === EAGAIN ? -1 : check(n, 'sendmsg');
  }

  /**
   * Receives bytes and descriptors without waiting.
   *
   * @returns what came, or undefined when nothing is there yet
   * @throws {SysError} ECONNRESET ...
   */
  receive(target: Uint8Array): Received | undefined {
    this.#setData(target);
    this.#setControl(this.#control.byteLength);
    MSGHDR.set(this.#msgView, 0, 'msg_flags', 0);
    // SAFETY: as in send(); the kernel writes at most the lengths given.
    const n = retry(() => sys.recvmsg(this.#fd, this.#msg, MSG_CMSG_CLOEXEC | MSG_DONTWAIT));
    if (n < 0 && errno() === EAGAIN) return undefined;
    check(n, 'recvmsg');
    const { fds, roomLeft } = this.#takeFds();
    if ((MSGHDR.get(this.#msgView, 0, 'msg_flags') & MSG_CTRUNC) === 0) {
      return { bytes: n, fds, truncated: false };
    }
    // Looked at while those that came are still there: with them gone there is room.
    const shortage = roomLeft ? this.#whyShort() : undefined;
    closeFds(fds);
    if (shortage === undefined) return { bytes: n, fds: [], truncated: true };
    return { bytes: n, fds: [], truncated: false, shortage };
  }

  #setData(data: Uint8Array): void {
    IOVEC.write(this.#iovView, 0, {
      iov_base: data.length === 0 ? 0n : addressOf(data),
      iov_len: BigInt(data.length),
    });
  }

  #setControl(length: number): void {
    MSGHDR.write(this.#msgView, 0, {
      msg_control: addressOf(this.#control),
      msg_controllen: BigInt(length),
    });
  }

  /**
   * The kernel makes descriptors until it cannot make another, or has no room to write it to. Cut off with
   * room left, it was this process that could have no more.
   */
  #takeFds(): { readonly fds: Fd[]; readonly roomLeft: boolean } {
    const fds: Fd[] = [];
    const end = Number(MSGHDR.getBig(this.#msgView, 0, 'msg_controllen'));
    let at = 0;
    while (at + CMSGHDR.SIZE <= end) {
      const header = CMSGHDR.read(this.#controlView, at);
      const length = Number(header.cmsg_len);
      if (length < CMSGHDR.SIZE) break;
      if (header.cmsg_level === SOL_SOCKET && header.cmsg_type === SCM_RIGHTS) {
        for (let o = at + CMSGHDR.SIZE; o + 4 <= Math.min(at + length, end); o += 4) {
          fds.push(asFd(this.#controlView.getInt32(o, true)));
        }
        // What is left behind the last one, without what aligns the next header.
        return { fds, roomLeft: at + length + 4 <= this.#control.byteLength };
      }
      at += align8(length);
    }
    return { fds, roomLeft: at + CMSGHDR.SIZE + 4 <= this.#control.byteLength };
  }

  /** Why the kernel gave this process no descriptor a moment ago: a copy of one meets the same limit. */
  #whyShort(): SysError {
    let errno = EMFILE;
    try {
      // Another thread may have closed one meanwhile, and the next message will come whole.
      closeFd(dupFd(this.#fd));
    } catch (error) {
      if (SysError.is(error)) errno = error.errno;
    }
    return new SysError({ syscall: 'recvmsg(SCM_RIGHTS)', errno });
  }
}

/** `struct sockaddr_un`, linux/un.h. */
export const SOCKADDR_UN = struct(
  'sockaddr_un',
  { sun_family: u16(0), sun_path: bytes(2, 108) },
  { size: 110 },
);
