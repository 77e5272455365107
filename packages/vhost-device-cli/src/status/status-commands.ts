import type { Controlled } from '../control/controlled.ts';
import { ControlError } from '../control/error.ts';
import type { ControlRequest } from '../control/request.ts';

/** What a program that has a status and no commands does for clients of its control socket. */
export class StatusCommands implements Controlled {
  readonly #status: () => object;

  /** @param status - as SIGUSR1 logs it: plain data */
  constructor(status: () => object) {
    this.#status = status;
  }

  /** @throws {ControlError} USAGE */
  async answer(request: ControlRequest): Promise<object> {
    const said = spoken(request);
    if (said === 'status') return this.#status();
    throw new ControlError('USAGE', `Cannot do ${said}: there is "status" and no other command`);
  }

  /** @throws {ControlError} USAGE, always: what is to be known is the status */
  watch(request: ControlRequest): Disposable {
    throw new ControlError('USAGE', `Cannot do ${spoken(request)}: there are no events`);
  }
}

function spoken({ device, words }: ControlRequest): string {
  return [...(device === undefined ? [] : [`@${device}`]), ...words].join(' ');
}
