import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Bed, DOM0_ROOT, XenBox, type XenDomain } from '../../src/box/index.ts';
import { onEveryBed } from './on-every-bed.ts';

interface Outcome {
  readonly suite: string;
  readonly name: string;
  readonly error?: string;
}

/** A guest that has an interrupt which nobody uses, and what the suite may touch of it. */
function subject(bed: Bed): { readonly config: readonly string[]; readonly places: string } {
  if (bed.architecture === 'x86_64') {
    return { config: [], places: 'x86_64 0x7000 0xd0000 0xe0000000 5' };
  }
  // xl has `nr_spis` since 4.20; before, the emulated UART brings an SPI, 32, and Xen rounds their
  // number up to 32.
  const minor = Number(bed.series.split('.')[1]);
  const config = minor >= 20 ? 'nr_spis = 32' : 'vuart = "sbsa_uart"';
  // Above kernel and initramfs of a guest of 128 MiB that does nothing.
  return { config: [config], places: 'arm64 0x47000 0x10 0x2000000 43' };
}

// The suites that the fakes pass in the packages' unit tests, on what the fakes stand for.
onEveryBed('compliance on real Xen', [], (bed) => {
  let box: XenBox;
  let guest: XenDomain;
  let outcomes: Outcome[];

  beforeAll(async () => {
    box = await XenBox.boot({
      bed: bed.name,
      name: 'xen-compliance',
      payload: { packages: ['packages/ioreq-eventfd', 'packages/xen-store'] },
    });
    guest = await box.createDomain({ name: 'guest', extraConfig: subject(bed).config });
    outcomes = await runSuites();
  });

  afterAll(async () => {
    await box?.stop();
  });

  /** Runs the program in dom0 and does in the guest what it asks for. */
  async function runSuites(): Promise<Outcome[]> {
    await guest.waitUp();
    const { places } = subject(bed);
    const command = `node ${DOM0_ROOT}/box/compliance.js ${await guest.id()} ${places}`;
    const program = box.spawn('compliance', command);
    for (let number = 1; program.exitCode === undefined; ) {
      const path = `/tmp/request-${number}`;
      const request = await box.exec(`[ -e ${path} ] && cat ${path} || sleep 0.2`);
      if (request.stdout === '') continue;
      const { stdout } = await guest.exec(request.stdout);
      await box.writeFile(`/tmp/answer-${number}`, stdout.trim() || 'failed');
      number++;
    }
    await program.waitFor(/"done":true/);
    return program.output
      .split('\n')
      .filter((line) => line.startsWith('{"suite"'))
      .map((line) => JSON.parse(line) as Outcome);
  }

  it.each(['xen-sys', 'vm-device', 'xen-store over the socket', 'xen-store over xenbus'])(
    '%s',
    (suite) => {
      const ran = outcomes.filter((outcome) => outcome.suite === suite);
      expect(ran.length).toBeGreaterThan(10);
      expect(ran.filter(({ error }) => error !== undefined)).toEqual([]);
    },
  );
});
