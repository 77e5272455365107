import type { Controlled, ControlRequest } from '@node-vmm/vhost-device-cli';
import { BridgeError } from './errors.ts';

/** What the bridge does for clients of its control socket. */
export class BridgeCommands implements Controlled {
  readonly #status: () => object;

  /** @param status - as SIGUSR1 logs it: plain data */
  constructor(status: () => object) {
    this.#status = status;
  }

  /** @throws {BridgeError} USAGE */
  async answer(request: ControlRequest): Promise<object> {
    const said = spoken(request);
    if (said === 'status') return this.#status();
    throw new BridgeError('USAGE', `Cannot do ${said}: the bridge knows "status" and no other`);
  }

  /** @throws {BridgeError} USAGE, always: what is to be known of a bridge is its status */
  watch(request: ControlRequest): Disposable {
    throw new BridgeError('USAGE', `Cannot do ${spoken(request)}: the bridge has no events`);
  }
}

function spoken({ device, words }: ControlRequest): string {
  return [...(device === undefined ? [] : [`@${device}`]), ...words].join(' ');
}
