import type { HostThread } from '@node-vmm/vhost-user-backend';
import { errorCode } from '@node-vmm/vmm-sys-util';
import { I2cError, isI2cErrorCode } from '../errors.ts';
import type { I2cHost, I2cMessage, I2cTransferDone } from '../i2c-host.ts';
import { decodeAnswer, encodeRequest, type TransferAnswer } from './transfer-messages.ts';

/**
 * A bus that another thread has, whose host module serves it by `serveI2cHost`: a transfer that takes
 * long there holds up nothing here, and devices on one bus take turns.
 */
export class ThreadI2cHost implements I2cHost {
  readonly name: string;
  readonly #thread: HostThread;

  /** @param thread - becomes the host's, which closes it */
  constructor(name: string, thread: HostThread) {
    this.name = name;
    this.#thread = thread;
  }

  transfer(messages: readonly I2cMessage[], done: I2cTransferDone): void {
    this.#thread.request(encodeRequest(messages), (error, answer) => {
      if (error !== undefined) {
        const code = errorCode(error);
        done(
          0,
          new I2cError(isI2cErrorCode(code) ? code : 'IO', error.message, {}, { cause: error }),
        );
        return;
      }
      decodeAnswer(messages, answer as TransferAnswer);
      done((answer as TransferAnswer).succeeded);
    });
  }

  [Symbol.dispose](): void {
    this.#thread.close();
  }
}
