import type { Host } from '@node-vmm/vhost-user-backend';
import type { I2cHost } from '../i2c-host.ts';
import {
  decodeRequest,
  encodeAnswer,
  type TransferAnswer,
  type TransferRequest,
} from './transfer-messages.ts';

/**
 * Serves a bus in a host thread, which it may block: see `ThreadI2cHost`.
 *
 * @param bus - becomes the host's, which disposes of it
 */
export function serveI2cHost(bus: I2cHost): Host {
  return {
    answer: (request) =>
      new Promise<TransferAnswer>((resolve, reject) => {
        const messages = decodeRequest(request as TransferRequest);
        bus.transfer(messages, (succeeded, error) => {
          if (error === undefined) resolve(encodeAnswer(messages, succeeded));
          else reject(error);
        });
      }),
    [Symbol.dispose]: () => bus[Symbol.dispose](),
  };
}
