import type { CommandAnswer } from '../between/worker-calls.ts';
import { DeviceCommandError, type VhostUserBackendError } from '../errors.ts';

/** What somebody outside has asked of a device and waits for. */
export class DeviceCommands {
  readonly #device: string;
  readonly #waiting = new Set<(error: Error) => void>();

  constructor(device: string) {
    this.#device = device;
  }

  /**
   * @param answer - of the worker, which may take until that has ended
   * @returns the device's answer
   * @throws as `ServedDevice.command`
   */
  async wait(answer: Promise<CommandAnswer>): Promise<unknown> {
    const said = await this.#unlessGone(answer);
    if ('refusal' in said) {
      const { code, message } = said.refusal;
      throw new DeviceCommandError(code, message, { device: this.#device });
    }
    return said.text === undefined ? undefined : JSON.parse(said.text);
  }

  /** The device has failed or is closed: nobody waits for the thread that it was on. */
  gone(error: VhostUserBackendError): void {
    for (const reject of this.#waiting) reject(error);
    this.#waiting.clear();
  }

  async #unlessGone(answer: Promise<CommandAnswer>): Promise<CommandAnswer> {
    let stop: ((error: Error) => void) | undefined;
    const gone = new Promise<never>((_, reject) => {
      stop = reject;
      this.#waiting.add(reject);
    });
    try {
      return await Promise.race([answer, gone]);
    } finally {
      if (stop !== undefined) this.#waiting.delete(stop);
    }
  }
}

/** @throws {TypeError} when it is no array of one or more strings */
export function checkWords(words: unknown): void {
  const good =
    Array.isArray(words) && words.length > 0 && words.every((word) => typeof word === 'string');
  if (!good) throw new TypeError('"words" expected an array of one or more strings');
}
