// Event buffers that a guest has given are held by the daemon for as long as it takes: also while it dies.
import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ControlClient } from '@node-vmm/vhost-device-cli/control';
import { DaemonProgram, GUEST_BASE, Guest, GuestRing } from '@node-vmm/vhost-user-backend/testing';
import {
  INFLIGHT_PROTOCOL_FEATURE,
  InflightKeeper,
  SUPPORTED_PROTOCOL_FEATURES,
  VhostUserFrontend,
} from '@node-vmm/vhost-user-master';
import { featureWord, VIRTIO_F_VERSION_1 } from '@node-vmm/virtio-bindings';
import {
  VIRTIO_GPIO_MSG_GET_DIRECTION as GET_DIRECTION,
  VIRTIO_GPIO_MSG_GET_VALUE as GET_VALUE,
  VIRTIO_GPIO_DIRECTION_IN as IN,
  VIRTIO_GPIO_DIRECTION_OUT as OUT,
  VIRTIO_GPIO_IRQ_TYPE_EDGE_RISING as RISING,
  VIRTIO_GPIO_MSG_SET_DIRECTION as SET_DIRECTION,
  VIRTIO_GPIO_MSG_SET_VALUE as SET_VALUE,
  VIRTIO_GPIO_F_IRQ,
} from '@node-vmm/virtio-bindings/gpio';
import { MainPoller } from '@node-vmm/vmm-sys-util';
import { stopProcess } from '@node-vmm/vmm-sys-util/testing';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { irqType, request, unmask } from '../support/requests.ts';

const main = new URL('../../dist/main.js', import.meta.url);
const PATIENCE = { timeout: 60_000 };
const FEATURES = featureWord(VIRTIO_F_VERSION_1, VIRTIO_GPIO_F_IRQ);
const SIZE = 64;
const SLOT = 64;
/** `idx` in the used ring: VIRTIO 1.3 §2.7.8. */
const IDX = 2n;

type Address = Parameters<Guest['memory']['readU16']>[0];

/** A guest that stays while daemons come and go. */
class Machine {
  readonly poller = new MainPoller();
  readonly guest = new Guest();
  readonly rings = [0, 1].map((index) => new GuestRing(this.guest, index, FEATURES, SIZE));
  keeper = this.#newKeeper();
  readonly #directory: string;
  #daemon: DaemonProgram | undefined;
  #frontend: VhostUserFrontend | undefined;
  #slot = 0;

  constructor(directory: string) {
    this.#directory = directory;
  }

  /** Starts a daemon, and gives it what there is. */
  async begin(): Promise<void> {
    const args = ['-l', 's3', '--control-socket', this.#control, '--state-dir', this.#directory];
    this.#daemon = await DaemonProgram.start({ main, args });
    await this.connect();
  }

  async connect(): Promise<void> {
    this.#frontend?.close();
    const path = this.#daemon?.socketPath() ?? '';
    const { poller } = this;
    const frontend = await VhostUserFrontend.connect({ path, poller, timeoutMs: 60_000 });
    this.#frontend = frontend;
    const protocolFeatures = SUPPORTED_PROTOCOL_FEATURES | INFLIGHT_PROTOCOL_FEATURE;
    await frontend.negotiate({ protocolFeatures });
    await frontend.setFeatures(FEATURES);
    await frontend.setMemTable(this.guest.memory);
    await this.keeper.handOver(frontend);
    for (const { index, layout, kick, call } of this.rings) {
      const base = this.guest.memory.readU16((layout.usedRing + IDX) as Address);
      await frontend.startVring({ ...layout, index, base, kick, call });
    }
  }

  async kill(): Promise<void> {
    await this.#daemon?.stop('SIGKILL');
  }

  /** The daemon takes nothing any more, as if it had not come to it yet. */
  async suspend(): Promise<void> {
    if (this.#daemon === undefined) throw new Error('There is no daemon');
    await stopProcess(this.#daemon.pid);
  }

  /** The driver resets the device: its rings are new, and nothing is in flight. */
  reset(): void {
    this.keeper.close();
    this.keeper = this.#newKeeper();
    for (const ring of this.rings.splice(0)) ring.close();
    this.rings.push(...[0, 1].map((index) => new GuestRing(this.guest, index, FEATURES, SIZE)));
  }

  /** Gives a request with room for the answer. @returns where that will be */
  submit(queue: number, bytes: Uint8Array, room: number): bigint {
    const ring = this.rings[queue] as GuestRing;
    const at = GUEST_BASE + 0x10_0000n + BigInt(SLOT * this.#slot++);
    const into = at + BigInt(SLOT / 2);
    this.guest.memory.write(at as Address, bytes);
    ring.driver.add([
      { guestAddr: at as Address, length: bytes.length, writable: false },
      { guestAddr: into as Address, length: room, writable: true },
    ]);
    if (ring.driver.publish()) ring.kick.signal();
    return into;
  }

  /** Requests of a queue that have come back since. */
  returned(queue: number): number {
    let count = 0;
    while (this.rings[queue]?.driver.poll() !== undefined) count++;
    return count;
  }

  async ask(bytes: Uint8Array): Promise<void> {
    this.submit(0, bytes, 2);
    await expect.poll(() => this.returned(0), PATIENCE).toBe(1);
  }

  byte(at: bigint): number {
    return this.word(at) & 0xff;
  }

  word(at: bigint): number {
    return this.guest.memory.readU16(at as Address);
  }

  async command(...words: string[]): Promise<Record<string, unknown>> {
    using client = await ControlClient.connect(this.#control);
    return await client.command(words);
  }

  async untilHeld(line: number): Promise<void> {
    await expect
      .poll(async () => (await this.command('line', `${line}`))['masked'], PATIENCE)
      .toBe(false);
  }

  async close(): Promise<void> {
    this.#frontend?.close();
    await this.kill();
    this.keeper.close();
    for (const ring of this.rings) ring.close();
    this.guest.close();
    this.poller.close();
  }

  get #control(): string {
    return join(this.#directory, 'control');
  }

  #newKeeper(): InflightKeeper {
    return new InflightKeeper({ queues: 2, queueSize: SIZE, stateful: true });
  }
}

describe('vhost-device-gpio, killed', { timeout: 240_000 }, () => {
  let directory: string;
  let machine: Machine;
  beforeEach(() => {
    directory = mkdtempSync(join(tmpdir(), 'gpio-'));
    machine = new Machine(directory);
  });
  afterEach(async () => {
    await machine.close();
    rmSync(directory, { recursive: true, force: true });
  });

  async function arm(...lines: number[]): Promise<bigint[]> {
    const events: bigint[] = [];
    for (const line of lines) {
      await machine.ask(request(SET_DIRECTION, line, IN));
      await machine.ask(irqType(line, RISING));
      events.push(machine.submit(1, unmask(line), 1));
      await machine.untilHeld(line);
    }
    return events;
  }

  it('interrupts for lines that were armed before, each once', async () => {
    await machine.begin();
    const [first = 0n, second = 0n] = await arm(1, 2);
    for (let life = 0; life < 3; life++) {
      await machine.kill();
      await machine.begin();
      await machine.untilHeld(1);
      await machine.untilHeld(2);
    }
    expect(machine.returned(1)).toBe(0);
    await machine.command('line', '1', '1');
    await expect.poll(() => machine.returned(1), PATIENCE).toBe(1);
    expect([machine.byte(first), machine.byte(second)]).toEqual([1, 0]);
    // An edge while nothing is armed is kept, over a kill as well.
    await machine.command('line', '1', '0');
    await machine.command('line', '1', '1');
    await machine.kill();
    await machine.begin();
    await machine.untilHeld(2);
    const third = machine.submit(1, unmask(1), 1);
    await expect.poll(() => machine.returned(1), PATIENCE).toBe(1);
    expect(machine.byte(third)).toBe(1);
    await machine.command('line', '2', '1');
    await expect.poll(() => machine.returned(1), PATIENCE).toBe(1);
    expect(machine.byte(second)).toBe(1);
    // What is done is not in the record any more.
    await machine.kill();
    await machine.begin();
    await machine.ask(request(SET_DIRECTION, 0, IN));
    expect(machine.returned(1)).toBe(0);
    expect((await machine.command('line', '1'))['masked']).toBe(true);
  });

  it('goes on with each line as it was, and answers what the guest was waiting for', async () => {
    await machine.begin();
    await machine.ask(request(SET_VALUE, 0, 1));
    await machine.ask(request(SET_DIRECTION, 0, OUT));
    const [event = 0n] = await arm(1);
    await machine.suspend();
    const asked = [
      machine.submit(0, request(GET_VALUE, 0), 2),
      machine.submit(0, request(GET_DIRECTION, 0), 2),
      machine.submit(0, request(GET_DIRECTION, 1), 2),
      machine.submit(0, request(GET_DIRECTION, 2), 2),
    ];
    await machine.kill();
    expect(machine.returned(0)).toBe(0);
    const died = performance.now();
    await machine.begin();
    let answered = 0;
    await expect
      .poll(() => {
        answered += machine.returned(0);
        return answered;
      }, PATIENCE)
      .toBe(asked.length);
    // Linux gives a request a second. What this takes on a busy machine is no matter of this test.
    console.log(`killed to answered: ${(performance.now() - died).toFixed(0)} ms`);
    // Status, and the value or direction: an output that drives 1, an input, and one never used.
    expect(asked.map((at) => machine.word(at))).toEqual([0x0100, OUT << 8, IN << 8, 0]);
    await machine.untilHeld(1);
    expect(await machine.command('line', '0')).toMatchObject({ direction: 'out', value: 1 });
    expect(await machine.command('line', '1')).toMatchObject({ direction: 'in' });
    await machine.command('line', '1', '1');
    await expect.poll(() => machine.returned(1), PATIENCE).toBe(1);
    expect(machine.byte(event)).toBe(1);
  });

  it('has the driver reset the device when its state is gone, and not what it was asked', async () => {
    await machine.begin();
    await arm(1);
    await machine.kill();
    for (const name of readdirSync(directory)) {
      if (name.endsWith('.state')) rmSync(join(directory, name));
    }
    await expect(machine.begin()).rejects.toMatchObject({ code: 'STATE_LOST' });
    machine.reset();
    await machine.connect();
    const [event = 0n] = await arm(2);
    await machine.command('line', '2', '1');
    await expect.poll(() => machine.returned(1), PATIENCE).toBe(1);
    expect(machine.byte(event)).toBe(1);
  });
});
