import { describe, expect, it } from 'vitest';
import { decodeWire, wireLevels } from './box/parallel-port-wire.ts';

/** A master as Linux's i2c-algo-bit is one, one line at a time, whose port QEMU traces. */
class Master {
  trace = '';
  #scl = true;
  #sda = true;

  #set(scl: boolean, sda: boolean): void {
    [this.#scl, this.#sda] = [scl, sda];
    const value = 0xfc | (scl ? 0 : 1) | (sda ? 0 : 2);
    this.trace += `parallel_ioport_write write [SW] addr 0x00 val 0x${value.toString(16)}\n`;
  }
  #setScl(level: boolean): void {
    this.#set(level, this.#sda);
  }
  #setSda(level: boolean): void {
    this.#set(this.#scl, level);
  }
  start(): void {
    this.#setSda(false);
    this.#setScl(false);
  }
  repeatedStart(): void {
    this.#setSda(true);
    this.#setScl(true);
    this.#setSda(false);
    this.#setScl(false);
  }
  stop(): void {
    this.#setSda(false);
    this.#setScl(true);
    this.#setSda(true);
  }
  /** @param acknowledge - level of SDA in the ninth bit: let go, unless it is the master's to pull */
  byte(value: number, acknowledge = true): void {
    for (let bit = 7; bit >= -1; bit--) {
      this.#setSda(bit < 0 ? acknowledge : ((value >> bit) & 1) === 1);
      this.#setScl(true);
      this.#setScl(false);
    }
  }
}

const decode = (trace: string): unknown => decodeWire(wireLevels(trace));

describe('the wire of a traced parallel port', () => {
  it('has the bytes of a 7-bit and of a 10-bit address, which differ', () => {
    const master = new Master();
    master.start();
    for (const byte of [0xa0, 0x12]) master.byte(byte);
    master.stop();
    master.start();
    for (const byte of [0xf2, 0x50, 0x12]) master.byte(byte);
    master.stop();
    expect(decode(master.trace)).toEqual([
      { messages: [[0xa0, 0x12]] },
      { messages: [[0xf2, 0x50, 0x12]] },
    ]);
  });

  it('has the parts of a transfer with repeated STARTs, and 0xff for what is read', () => {
    const master = new Master();
    master.start();
    for (const byte of [0xf2, 0x50, 0x00]) master.byte(byte);
    master.repeatedStart();
    for (const byte of [0xf2, 0x50]) master.byte(byte);
    master.repeatedStart();
    master.byte(0xf3);
    master.byte(0xff, false);
    master.byte(0xff);
    master.stop();
    expect(decode(master.trace)).toEqual([
      {
        messages: [
          [0xf2, 0x50, 0x00],
          [0xf2, 0x50],
          [0xf3, 0xff, 0xff],
        ],
      },
    ]);
  });

  it('is read with and without times, and from the data register alone', () => {
    const master = new Master();
    master.start();
    master.byte(0xa1);
    master.stop();
    const timed = master.trace
      .split('\n')
      .map((line, i) => (line === '' ? line : `4711@1700000000.00000${i % 10}:${line}`))
      .join('\nparallel_ioport_write write [SW] addr 0x02 val 0x0e\nsomething else\n');
    expect(decode(timed)).toEqual([{ messages: [[0xa1]] }]);
    // A transfer without its STOP is none yet.
    const open = new Master();
    open.start();
    open.byte(0xa1);
    expect(decode(open.trace)).toEqual([]);
  });
});
