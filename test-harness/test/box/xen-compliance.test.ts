import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { boxStatus, DOM0_ROOT, XenBox, type XenDomain } from '../../src/box/index.ts';

const { ready, reason } = boxStatus();
if (!ready) console.warn(`skipped: ${reason}`);

interface Outcome {
  readonly suite: string;
  readonly name: string;
  readonly error?: string;
}

// The suites that the fakes pass in the packages' unit tests, on what the fakes stand for.
describe.skipIf(!ready)('compliance on real Xen', () => {
  let box: XenBox;
  let guest: XenDomain;
  let outcomes: Outcome[];

  beforeAll(async () => {
    box = await XenBox.boot({
      name: 'xen-compliance',
      payload: { packages: ['packages/xen-sys', 'packages/xen-store'] },
    });
    guest = await box.createDomain({ name: 'guest', extraConfig: ['nr_spis = 32'] });
    outcomes = await runSuites();
  });

  afterAll(async () => {
    await box?.stop();
  });

  /** Runs the program in dom0 and does in the guest what it asks for. */
  async function runSuites(): Promise<Outcome[]> {
    await guest.waitUp();
    const command = `node ${DOM0_ROOT}/box/compliance.js ${await guest.id()}`;
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

  it.each(['xen-sys', 'xen-store over the socket', 'xen-store over xenbus'])('%s', (suite) => {
    const ran = outcomes.filter((outcome) => outcome.suite === suite);
    expect(ran.length).toBeGreaterThan(10);
    expect(ran.filter(({ error }) => error !== undefined)).toEqual([]);
  });
});
