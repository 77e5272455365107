import type { Bed } from '../bed.ts';
import { DOM0_ROOT } from '../payload.ts';
import { XenBox } from '../xen-box.ts';
import type { Scenario } from './scenario.ts';

const PROGRAM = `${DOM0_ROOT}/node_modules/@node-vmm/vhost-user-backend/bench/foreign-xen.bench.mjs`;
/** Bytes of RAM of each guest, which does nothing. */
const RAM = 0x800_0000;
/** Where it begins, and four pages of it above kernel and initramfs. */
const PLACES: Readonly<Record<Bed['architecture'], string>> = {
  arm64: `0x40000000 ${RAM} 0x47000000`,
  x86_64: `0 ${RAM} 0x7000000`,
};
const LIMIT_MS = 900_000;

/** What the benchmark said of one kind of request. */
export interface ForeignFigure {
  readonly medianUs: number;
  readonly p99Us: number;
  readonly perSecond: number;
}

/**
 * Measures in dom0 what memory on demand costs there.
 *
 * @param say - told of the table, a line at a time
 * @returns figures by their names in the program
 */
export async function measureForeign(
  bed: Bed,
  say: (text: string) => void,
): Promise<Readonly<Record<string, ForeignFigure>>> {
  const box = await XenBox.boot({
    bed: bed.name,
    name: 'foreign-bench',
    payload: { packages: ['packages/vhost-user-backend'] },
  });
  try {
    const ids: string[] = [];
    for (const name of ['first', 'second']) {
      const guest = await box.createDomain({ name });
      await guest.waitUp();
      ids.push(`${await guest.id()}`);
    }
    const command = `node ${PROGRAM} ${ids.join(' ')} ${PLACES[bed.architecture]}`;
    const { code, stdout, stderr } = await box.exec(command, { timeoutMs: LIMIT_MS });
    const lines = stdout.trim().split('\n');
    for (const line of lines) if (!line.startsWith('{')) say(line);
    if (code !== 0) throw new Error(`Cannot measure foreign memory on ${bed.name}: ${stderr}`);
    return (JSON.parse(lines.at(-1) ?? '') as { figures: Record<string, ForeignFigure> }).figures;
  } finally {
    await box.stop();
  }
}

/** First touches and transfers a second of foreign memory. */
export const foreignBench: Scenario = {
  name: 'foreign-bench',
  description: 'what foreign memory on demand costs its own ring, and other guests',
  run: async ({ bed, say }) => {
    await measureForeign(bed, say);
  },
};
