/** errno values that callers compare with. Source: asm-generic/errno-base.h, errno.h. */
export const EPERM = 1;
/** asm-generic/errno-base.h. */
export const ENOENT = 2;
/** asm-generic/errno-base.h. */
export const ESRCH = 3;
/** asm-generic/errno-base.h. */
export const EINTR = 4;
/** asm-generic/errno-base.h. */
export const EIO = 5;
/** asm-generic/errno-base.h. */
export const ENXIO = 6;
/** asm-generic/errno-base.h. */
export const E2BIG = 7;
/** asm-generic/errno-base.h. */
export const EBADF = 9;
/** asm-generic/errno-base.h. */
export const EAGAIN = 11;
/** asm-generic/errno-base.h. */
export const ENOMEM = 12;
/** asm-generic/errno-base.h. */
export const EACCES = 13;
/** asm-generic/errno-base.h. */
export const EFAULT = 14;
/** asm-generic/errno-base.h. */
export const EBUSY = 16;
/** asm-generic/errno-base.h. */
export const EEXIST = 17;
/** asm-generic/errno-base.h. */
export const ENODEV = 19;
/** asm-generic/errno-base.h. */
export const EINVAL = 22;
/** asm-generic/errno-base.h. */
export const EMFILE = 24;
/** asm-generic/errno-base.h. */
export const ENOTTY = 25;
/** asm-generic/errno-base.h. */
export const EFBIG = 27;
/** asm-generic/errno-base.h. */
export const ENOSPC = 28;
/** asm-generic/errno-base.h. */
export const EPIPE = 32;
/** asm-generic/errno.h. */
export const ENOSYS = 38;
/** asm-generic/errno.h. */
export const EPROTO = 71;
/** asm-generic/errno.h. */
export const EMSGSIZE = 90;
/** asm-generic/errno.h. */
export const EOPNOTSUPP = 95;
/** asm-generic/errno.h. */
export const EADDRINUSE = 98;
/** asm-generic/errno.h. */
export const ECONNRESET = 104;
/** asm-generic/errno.h. */
export const ENOTCONN = 107;
/** asm-generic/errno.h. */
export const ETIMEDOUT = 110;
/** asm-generic/errno.h. */
export const ECONNREFUSED = 111;
/** asm-generic/errno.h. */
export const EINPROGRESS = 115;
/** asm-generic/errno.h. */
export const EREMOTEIO = 121;
