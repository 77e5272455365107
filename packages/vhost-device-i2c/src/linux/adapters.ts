import { existsSync, readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { errorCode, errorMessage } from '@node-vmm/vmm-sys-util';
import { formatI2cAddress, isTenBit } from '../address.ts';
import type { AdapterSelector } from '../device-list.ts';
import { I2cError } from '../errors.ts';
import {
  I2C_FUNC_10BIT_ADDR,
  I2C_FUNC_I2C,
  I2C_FUNC_SMBUS_QUICK,
  I2C_FUNC_SMBUS_READ_BYTE,
  I2C_FUNC_SMBUS_READ_BYTE_DATA,
  I2C_FUNC_SMBUS_READ_I2C_BLOCK,
  I2C_FUNC_SMBUS_READ_WORD_DATA,
  I2C_FUNC_SMBUS_WRITE_BYTE,
  I2C_FUNC_SMBUS_WRITE_BYTE_DATA,
  I2C_FUNC_SMBUS_WRITE_I2C_BLOCK,
  I2C_FUNC_SMBUS_WRITE_WORD_DATA,
} from './i2c-dev.ts';
import { type I2cDevFile, LinuxI2cDevFile } from './i2c-dev-file.ts';

/** Where Linux shows its adapters. Tests give others. */
export interface LinuxPaths {
  /** Default `/sys`. */
  readonly sys: string;
  /** Default `/dev`. */
  readonly dev: string;
}

/** Ours: where distributions mount them. */
export const LINUX_PATHS: LinuxPaths = { sys: '/sys', dev: '/dev' };

/** An adapter of the host. */
export interface Adapter {
  readonly bus: number;
  readonly name: string;
}

const USABLE =
  I2C_FUNC_I2C |
  I2C_FUNC_SMBUS_QUICK |
  I2C_FUNC_SMBUS_READ_BYTE |
  I2C_FUNC_SMBUS_WRITE_BYTE |
  I2C_FUNC_SMBUS_READ_BYTE_DATA |
  I2C_FUNC_SMBUS_WRITE_BYTE_DATA |
  I2C_FUNC_SMBUS_READ_WORD_DATA |
  I2C_FUNC_SMBUS_WRITE_WORD_DATA |
  I2C_FUNC_SMBUS_READ_I2C_BLOCK |
  I2C_FUNC_SMBUS_WRITE_I2C_BLOCK;

function readName(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

/** The host's adapters by number; empty when the kernel has no I2C. */
export function listAdapters(paths: LinuxPaths = LINUX_PATHS): Adapter[] {
  const directory = `${paths.sys}/bus/i2c/devices`;
  let entries: string[];
  try {
    entries = readdirSync(directory);
  } catch {
    return [];
  }
  const adapters: Adapter[] = [];
  for (const entry of entries) {
    const match = /^i2c-(\d+)$/.exec(entry);
    if (match === null) continue;
    adapters.push({ bus: Number(match[1]), name: readName(`${directory}/${entry}/name`) });
  }
  return adapters.sort((a, b) => a.bus - b.bus);
}

function describe(adapters: readonly Adapter[]): string {
  if (adapters.length === 0) return 'this host has none (is its I2C driver loaded?)';
  return `there are ${adapters.map(({ bus, name }) => `${bus} (${name})`).join(', ')}`;
}

/**
 * Finds the adapter that the command line names.
 *
 * @throws {I2cError} NO_SUCH_ADAPTER, AMBIGUOUS_ADAPTER
 */
export function findAdapter(selector: AdapterSelector, paths: LinuxPaths = LINUX_PATHS): Adapter {
  const adapters = listAdapters(paths);
  const found = adapters.filter(({ bus, name }) =>
    selector.bus === undefined ? name === selector.name : bus === selector.bus,
  );
  const wanted = selector.bus ?? `"${selector.name}"`;
  if (found.length > 1) {
    throw new I2cError(
      'AMBIGUOUS_ADAPTER',
      `Cannot use I2C adapter ${wanted}: several have this name; give the number of one: ${found
        .map(({ bus }) => bus)
        .join(', ')}`,
    );
  }
  if (found[0] !== undefined) return found[0];
  // Not every sandbox shows /sys; the device file decides.
  if (selector.bus !== undefined && existsSync(`${paths.dev}/i2c-${selector.bus}`)) {
    return { bus: selector.bus, name: `i2c-${selector.bus}` };
  }
  throw new I2cError(
    'NO_SUCH_ADAPTER',
    `Cannot use I2C adapter ${wanted}: no such adapter; ${describe(adapters)}`,
  );
}

function openError(error: unknown, path: string): I2cError {
  const cause = { cause: error };
  switch (errorCode(error)) {
    case 'ENOENT':
      return new I2cError(
        'NO_SUCH_ADAPTER',
        `Cannot open ${path}: it does not exist; load the kernel's i2c-dev module (modprobe i2c-dev)`,
        { path },
        cause,
      );
    case 'EACCES':
    case 'EPERM':
      return new I2cError(
        'PERMISSION',
        `Cannot open ${path}: permission denied; run as root or as a member of the file's group`,
        { path },
        cause,
      );
    default:
      return new I2cError(
        'ADAPTER_UNUSABLE',
        `Cannot open ${path}: ${errorMessage(error)}`,
        { path },
        cause,
      );
  }
}

function busyError(paths: LinuxPaths, bus: number, address: number, cause: unknown): I2cError {
  const id = `${bus}-${address.toString(16).padStart(4, '0')}`;
  const client = `${paths.sys}/bus/i2c/devices/${id}`;
  let driver = '';
  try {
    driver = basename(readlinkSync(`${client}/driver`));
  } catch {
    // Its name only makes the message nicer.
  }
  const unbind = `echo ${id} > ${paths.sys}/bus/i2c/drivers/${driver === '' ? 'DRIVER' : driver}/unbind`;
  return new I2cError(
    'ADDRESS_BUSY',
    `Cannot give address ${formatI2cAddress(address)} of i2c-${bus} to a guest: the host's driver ${
      driver === '' ? '' : `${driver} `
    }is bound to ${client}; unbind it (${unbind}) or leave the address out`,
    { adapter: `i2c-${bus}`, address },
    { cause },
  );
}

/**
 * Finds out before any guest does whether an adapter can be used and its addresses are free.
 *
 * @param open - for tests
 * @throws {I2cError} NO_SUCH_ADAPTER, PERMISSION, ADAPTER_UNUSABLE, ADDRESS_BUSY
 */
export function checkAdapter(
  bus: number,
  addresses: readonly number[],
  paths: LinuxPaths = LINUX_PATHS,
  open: (path: string) => I2cDevFile = (path) => new LinuxI2cDevFile(path),
): void {
  const path = `${paths.dev}/i2c-${bus}`;
  let file: I2cDevFile;
  try {
    file = open(path);
  } catch (error) {
    throw openError(error, path);
  }
  try {
    checkFunctions(file, path, addresses);
    for (const address of addresses) {
      try {
        file.slave(address);
      } catch (error) {
        if (errorCode(error) === 'EBUSY') throw busyError(paths, bus, address, error);
        throw openError(error, path);
      }
    }
  } finally {
    file[Symbol.dispose]();
  }
}

function checkFunctions(file: I2cDevFile, path: string, addresses: readonly number[]): void {
  let functions: number;
  try {
    functions = file.functions();
  } catch (error) {
    throw new I2cError(
      'ADAPTER_UNUSABLE',
      `Cannot use ${path}: it is no I2C adapter (${errorMessage(error)})`,
      { path },
      { cause: error },
    );
  }
  if ((functions & USABLE) === 0) {
    throw new I2cError(
      'ADAPTER_UNUSABLE',
      `Cannot use ${path}: the adapter makes neither I2C nor SMBus transfers (I2C_FUNCS 0x${functions.toString(16)})`,
    );
  }
  const tenBit = addresses.find(isTenBit);
  const needed = I2C_FUNC_I2C | I2C_FUNC_10BIT_ADDR;
  if (tenBit !== undefined && (functions & needed) !== needed) {
    throw new I2cError(
      'ADAPTER_UNUSABLE',
      `Cannot use address ${formatI2cAddress(tenBit)} of ${path}: the adapter has no 10-bit addresses (I2C_FUNCS 0x${functions.toString(16)})`,
    );
  }
}
