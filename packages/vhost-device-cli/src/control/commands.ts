import type { ServedDevice } from '@node-vmm/vhost-user-backend';
import type { Controlled } from './controlled.ts';
import { ControlError } from './error.ts';
import type { ControlRequest } from './request.ts';

/** How many devices an error names. */
const NAMED_MAX = 8;

/** What SIGUSR1 logs. */
export type StatusReport = () => Promise<{ readonly devices: readonly object[] }>;

/** Does what requests ask for, of the devices of a daemon. */
export class ControlCommands implements Controlled {
  readonly #devices: ReadonlyMap<string, ServedDevice>;
  readonly #status: StatusReport;

  constructor(devices: readonly ServedDevice[], status: StatusReport) {
    this.#devices = new Map(devices.map((device) => [device.name, device]));
    this.#status = status;
  }

  /**
   * @returns the answer's members
   * @throws {ControlError} USAGE, NO_DEVICE
   * @throws what `ServedDevice.command` throws
   */
  async answer({ device, words }: ControlRequest): Promise<object> {
    if (words[0] !== 'status') return (await this.#one(device).command(words)) ?? {};
    if (words.length > 1) throw usage('status');
    const only = device === undefined ? undefined : this.#one(device).name;
    const report = await this.#status();
    if (only === undefined) return report;
    return { devices: report.devices.filter((one) => 'name' in one && one.name === only) };
  }

  /**
   * Listens to the events of the device, or of all.
   *
   * @param told - called with an event and the name of the device that it is of
   * @returns stops that
   * @throws {ControlError} USAGE, NO_DEVICE
   */
  watch(
    { device, words }: ControlRequest,
    told: (event: object, device: string) => void,
  ): Disposable {
    if (words.length > 1) throw usage('watch');
    const devices = device === undefined ? [...this.#devices.values()] : [this.#one(device)];
    const listeners = devices.map((one) => one.onEvent((event) => told(event, one.name)));
    return {
      [Symbol.dispose]: () => {
        for (const listener of listeners) listener[Symbol.dispose]();
      },
    };
  }

  #one(name: string | undefined): ServedDevice {
    const [first, ...others] = this.#devices.values();
    const device =
      name === undefined && others.length === 0 ? first : this.#devices.get(name ?? '');
    if (device !== undefined) return device;
    const text =
      name === undefined
        ? 'Cannot ask a device: there are several'
        : `Cannot ask device ${name}: there is none`;
    throw new ControlError('NO_DEVICE', `${text}; say ${this.#names()}`);
  }

  #names(): string {
    const names = [...this.#devices.keys()].map((name) => `@${name}`);
    const rest = names.length > NAMED_MAX ? [`... @${names.at(-1)?.slice(1)}`] : [];
    return [...names.slice(0, NAMED_MAX), ...rest].join(', ');
  }
}

function usage(command: string): ControlError {
  return new ControlError(
    'USAGE',
    `Cannot do ${command}: it takes no words; say [@<device>] ${command}`,
  );
}
