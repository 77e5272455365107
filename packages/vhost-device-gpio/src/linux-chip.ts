// The module that a chip's thread loads: see `createHost`.
import type { CreateHost, Host } from '@node-vmm/vhost-user-backend';
import { type ChipIdentity, GpioLines } from './linux/gpio-lines.ts';
import { serveGpioLines } from './linux/serve-gpio-lines.ts';

/**
 * Opens the chip, in the thread that its device asks.
 *
 * @throws Node's own error with `code`, {SysError} or {GpioError} when the chip cannot be opened
 */
export const createHost: CreateHost<ChipIdentity> = (identity): Host =>
  serveGpioLines(new GpioLines(identity));
