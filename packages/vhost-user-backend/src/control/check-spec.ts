import {
  type FieldProblem,
  invalidField,
  isText,
  isUrl,
  MODULE_REMEDY,
} from '../between/invalid-field.ts';
import type { DeviceSpec } from '../device-spec.ts';

const MAX_QUEUE_WORKERS = 256;

/**
 * Checks what a program says of a device before anything is opened for it.
 *
 * @throws {VhostUserBackendError} INVALID_DEVICE
 */
export function checkSpec(spec: DeviceSpec): void {
  const name: unknown = spec.name;
  const check = (good: boolean, field: keyof DeviceSpec, problem: FieldProblem): void => {
    if (!good) throw invalidField(shownName(name), field, problem);
  };
  check(isText(name), 'name', { expected: 'a text that is not empty', got: name });
  const module: unknown = spec.module;
  check(isUrl(module), 'module', { expected: 'a URL', got: module, remedy: MODULE_REMEDY });
  for (const field of ['socketPath', 'statePath'] as const) {
    const path: unknown = spec[field];
    check(path === undefined || isText(path), field, { expected: 'a path', got: path });
  }
  for (const field of ['listenFd', 'connectedFd'] as const) {
    const fd: unknown = spec[field];
    const good = fd === undefined || isInteger(fd, 0, 0x7fff_ffff);
    check(good, field, { expected: 'the number of a descriptor', got: fd });
  }
  const workers: unknown = spec.queueWorkers ?? 1;
  const expected = `an integer of 1..${MAX_QUEUE_WORKERS}`;
  check(isInteger(workers, 1, MAX_QUEUE_WORKERS), 'queueWorkers', { expected, got: workers });
}

function shownName(name: unknown): string {
  return isText(name) ? name : 'without a name';
}

function isInteger(value: unknown, min: number, max: number): boolean {
  return Number.isInteger(value) && (value as number) >= min && (value as number) <= max;
}
