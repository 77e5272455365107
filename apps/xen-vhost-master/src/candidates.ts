import { readdirSync } from 'node:fs';
import {
  deviceById,
  deviceByName,
  type SupportedDevice,
} from '@node-vmm/vhost-bridge/supported-devices';
import type { Settings } from './settings.ts';

/**
 * The device types that there are back-ends for: those of `--name` and `--spawn`, and of the sockets that
 * a directory has now. Sockets of told devices are theirs alone.
 */
export function candidateTypes({ sockets, spawn, directory }: Settings): SupportedDevice[] {
  const names = [...sockets.keys(), ...spawn.keys(), ...namesIn(directory)];
  return [...new Set(names)].flatMap((name) => typeOf(name) ?? []);
}

function typeOf(name: string): SupportedDevice | undefined {
  const id = /^virtio-([1-9]\d{0,4})$/.exec(name)?.[1];
  return id === undefined ? deviceByName(name) : deviceById(Number(id));
}

function namesIn(directory: string | undefined): string[] {
  if (directory === undefined) return [];
  try {
    return readdirSync(directory).flatMap((file) => /^(.+)\.sock\d+$/.exec(file)?.[1] ?? []);
  } catch {
    // It was there when we started; a device that is announced is tried again.
    return [];
  }
}
