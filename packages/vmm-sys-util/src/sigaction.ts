import { bytes, i32, struct, u64 } from './struct.ts';

/**
 * `struct sigaction` of libc on 64-bit machines, the same in glibc and musl on x86_64 and arm64; not the
 * kernel's. libc itself adds the return from the handler (`SA_RESTORER`) where there is need.
 */
export const SIGACTION = struct(
  'sigaction',
  { sa_handler: u64(0), sa_mask: bytes(8, 128), sa_flags: i32(136), sa_restorer: u64(144) },
  { size: 152 },
);
/** asm-generic/signal-defs.h. */
export const SIG_DFL = 0n;
export const SA_SIGINFO = 4;
export const SA_ONSTACK = 0x0800_0000;
export const SA_RESTART = 0x1000_0000;
