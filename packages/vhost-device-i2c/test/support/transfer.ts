import type { I2cHost, I2cMessage } from '../../src/i2c-host.ts';

/**
 * Makes a transfer.
 *
 * @param turn - turns the poller that the bus waits in
 * @returns how many messages succeeded
 * @throws what the bus failed with
 */
export function transferLater(
  host: I2cHost,
  messages: readonly I2cMessage[],
  turn?: () => void,
): Promise<number> {
  return new Promise((resolve, reject) => {
    let over = false;
    host.transfer(messages, (succeeded, error) => {
      if (over) reject(new Error(`${host.name}: transfer over twice`));
      over = true;
      if (error === undefined) resolve(succeeded);
      else reject(error);
    });
    while (!over && turn !== undefined) turn();
  });
}

/**
 * Makes a transfer on a bus that is through at once.
 *
 * @returns how many messages succeeded
 * @throws what the bus failed with
 */
export function transfer(host: I2cHost, messages: readonly I2cMessage[]): number {
  let result: { readonly succeeded: number; readonly error: Error | undefined } | undefined;
  host.transfer(messages, (succeeded, error) => {
    result = { succeeded, error };
  });
  if (result === undefined) throw new Error(`${host.name}: transfer not over at once`);
  if (result.error !== undefined) throw result.error;
  return result.succeeded;
}
