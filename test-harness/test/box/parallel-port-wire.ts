// What a bit-banging I2C adapter on a parallel port of QEMU's puts on the wire, from QEMU's trace.

/** Arguments of QEMU: a parallel port with nothing behind it, whose writes go to a file. */
export function tracedParallelPort(file: string): string[] {
  return [
    ...['-chardev', 'null,id=parallel', '-device', 'isa-parallel,chardev=parallel'],
    ...['-D', file, '-trace', 'parallel_ioport_write'],
  ];
}

/**
 * Linux's `i2c-parport`, `type=5` (ADM1025, ADM1030 and ADM1031 evaluation boards): both lines are bits of the
 * data register, inverted, and SDA is read from the status register's SELECT, inverted. QEMU's port says
 * that a printer is selected, always: SDA reads low, so every byte is acknowledged, by nobody.
 * linux/drivers/i2c/busses/i2c-parport.c, qemu/hw/char/parallel.c.
 */
export const ALL_ACKNOWLEDGED = 'modprobe i2c-parport type=5';
const SCL = 0x01;
const SDA = 0x02;

/** Offset of a parallel port's data register. */
const DATA = 0;
const BITS = 8;

/** One transfer on the wire, from START to STOP. */
export interface WireTransfer {
  /** Bytes after the START and each repeated START, the address bytes first. */
  readonly messages: readonly (readonly number[])[];
}

/** Both lines as the master drives them. */
interface Levels {
  readonly scl: boolean;
  readonly sda: boolean;
}

/** Levels after each write to the data register. @param trace - lines of QEMU's log */
export function wireLevels(trace: string): Levels[] {
  const writes = trace.matchAll(
    /parallel_ioport_write write \[\w+\] addr 0x([0-9a-f]+) val 0x([0-9a-f]+)/g,
  );
  return [...writes]
    .map(([, addr = '', value = '']) => [Number.parseInt(addr, 16), Number.parseInt(value, 16)])
    .filter(([addr]) => addr === DATA)
    .map(([, value = 0]) => ({ scl: (value & SCL) === 0, sda: (value & SDA) === 0 }));
}

/**
 * Decodes what a master sends (the I2C-bus specification, sections 3.1.4 and 3.1.5). Bits of a chip are not in it:
 * the master lets go of SDA for them, so bytes that it reads are 0xff.
 *
 * @param levels - of a bus that is idle at first
 * @returns transfers that have ended
 */
export function decodeWire(levels: readonly Levels[]): WireTransfer[] {
  const transfers: WireTransfer[] = [];
  let messages: number[][] | undefined;
  let byte = 0;
  let bits = 0;
  let before: Levels = { scl: true, sda: true };
  for (const now of levels) {
    if (before.scl && now.scl && before.sda && !now.sda) {
      messages ??= [];
      messages.push([]);
      // What has begun of a byte was the clock of this START.
      [byte, bits] = [0, 0];
    } else if (before.scl && now.scl && !before.sda && now.sda) {
      if (messages !== undefined) transfers.push({ messages });
      messages = undefined;
    } else if (!before.scl && now.scl && messages !== undefined) {
      if (bits < BITS) byte = (byte << 1) | (now.sda ? 1 : 0);
      else messages.at(-1)?.push(byte);
      // The ninth is the acknowledgement.
      if (++bits > BITS) [byte, bits] = [0, 0];
    }
    before = now;
  }
  return transfers;
}
