import { errorMessage } from '@node-vmm/vmm-sys-util';
import type { CommandAnswer } from '../between/worker-calls.ts';
import type { VhostUserDevice } from '../device.ts';
import { DeviceCommandError, VhostUserBackendError } from '../errors.ts';
import type { DeviceCode } from './device-code.ts';
import { plainJson } from './plain-json.ts';

const MAX_ANSWER_CHARS = 1024 * 1024;

/**
 * Has a device do what somebody outside asks for.
 *
 * @param name - of the device, for messages
 * @returns the device's answer, also where that is a refusal
 * @throws {VhostUserBackendError} UNSUPPORTED; DEVICE_FAILED, also when it fails by this
 */
export function runCommand(
  name: string,
  device: VhostUserDevice,
  code: DeviceCode,
  words: readonly string[],
): CommandAnswer {
  code.checkAlive();
  if (device.command === undefined) {
    const text = `Cannot ask device ${name} to ${words[0]}: it knows no commands`;
    throw new VhostUserBackendError('UNSUPPORTED', text, { device: name });
  }
  try {
    return code.guard('command', () => answerOf(device, code, words));
  } catch (cause) {
    const text = `Cannot go on with device ${name}: ${errorMessage(cause)}`;
    throw new VhostUserBackendError('DEVICE_FAILED', text, { device: name }, { cause });
  }
}

function answerOf(
  device: VhostUserDevice,
  code: DeviceCode,
  words: readonly string[],
): CommandAnswer {
  try {
    const answer = device.command?.(words);
    code.checkReturned('command', answer);
    const text =
      answer === undefined
        ? undefined
        : plainJson('the answer to a command', answer, MAX_ANSWER_CHARS);
    return { text };
  } catch (error) {
    if (!DeviceCommandError.is(error)) throw error;
    return { refusal: { code: error.code, message: error.message } };
  }
}
