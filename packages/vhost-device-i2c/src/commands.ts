import { DeviceCommandError } from '@node-vmm/vhost-user-backend';
import { formatI2cAddress } from './address.ts';
import type { I2cAttachment } from './address-map.ts';
import type { I2cCounters } from './counters.ts';
import { parseAddress } from './device-list.ts';
import type { I2cChip } from './simulated/i2c-chip.ts';

const USAGE = 'say "state", or "chip <address> [<input> [<value>...]]"';

const refuse = (text: string): DeviceCommandError =>
  new DeviceCommandError('REFUSED', `Cannot drive a chip: ${text}`);
const usage = (text: string): DeviceCommandError =>
  new DeviceCommandError('USAGE', `Cannot do the command: ${text}`);

/**
 * Does what is asked for from outside:
 *
 * - `state`: the adapters with the addresses that the guest may reach, simulated chips, and counters
 * - `chip <address>`: one simulated chip, and its inputs
 * - `chip <address> <input> [<value>...]`: drives one of them
 *
 * @returns a plain object of JSON
 * @throws {DeviceCommandError} USAGE for words that make no sense; REFUSED for a chip that is not there
 */
export function runCommand(
  words: readonly string[],
  attachments: readonly I2cAttachment[],
  counters: Readonly<I2cCounters>,
): object | undefined {
  const [verb, ...rest] = words;
  if (verb === 'state' && rest.length === 0) return stateOf(attachments, counters);
  const [where, name, ...values] = rest;
  if (verb !== 'chip' || where === undefined) throw usage(USAGE);
  const address = parseAddress(where, usage);
  const chip = chipAt(attachments, address);
  if (name === undefined) return describe(address, chip);
  const input = chip.inputs?.get(name);
  if (input === undefined) throw refuse(`${formatI2cAddress(address)} has ${inputsOf(chip)}`);
  return input.command(values);
}

/** Chips that the guest may not reach, too: whose bus they are on is no secret out here. */
function chipAt(attachments: readonly I2cAttachment[], address: number): I2cChip {
  const chips = attachments.flatMap(({ host }) => host.chips?.get(address) ?? []);
  if (chips[0] !== undefined) return chips[0];
  if (attachments.every(({ host }) => host.chips === undefined)) {
    throw refuse("the chips are the host's own; only those of --simulate can be driven");
  }
  throw refuse(`there is none at ${formatI2cAddress(address)}`);
}

function describe(address: number, chip: I2cChip): object {
  const inputs = [...(chip.inputs ?? [])].map(([name, input]) => `${name} ${input.usage}`);
  return { address: formatI2cAddress(address), ...chip.state?.(), inputs };
}

function inputsOf(chip: I2cChip): string {
  const names = [...(chip.inputs?.keys() ?? [])];
  return names.length === 0 ? 'no inputs' : `these inputs: ${names.join(', ')}`;
}

function stateOf(attachments: readonly I2cAttachment[], counters: Readonly<I2cCounters>): object {
  const adapters = attachments.map(({ host, addresses }) => ({
    name: host.name,
    addresses: addresses.map(formatI2cAddress),
    ...(host.chips === undefined
      ? {}
      : {
          chips: [...host.chips].map(([address, chip]) => ({
            address: formatI2cAddress(address),
            ...chip.state?.(),
          })),
        }),
  }));
  return { adapters, counters: { ...counters } };
}
