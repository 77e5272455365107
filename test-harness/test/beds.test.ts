import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { artefactsOf, type Bed } from '../src/box/bed.ts';
import { BEDS } from '../src/box/beds.ts';
import { deviceModelOf } from '../src/box/dom0-initrd.ts';
import { BoxError } from '../src/box/errors.ts';
import { allArtefacts } from '../src/box/setup.ts';
import { writeSetupReport } from '../src/box/setup-report.ts';
import { deviceModelStatus, findBed } from '../src/box/status.ts';
import { domainConfig } from '../src/box/xen-domain.ts';

let home: string;
const before = process.env['XDG_CACHE_HOME'];

beforeEach(() => {
  home = mkdtempSync(join(tmpdir(), 'beds-test-'));
  process.env['XDG_CACHE_HOME'] = home;
  mkdirSync(join(home, 'node-vmm'));
});

afterEach(() => {
  if (before === undefined) delete process.env['XDG_CACHE_HOME'];
  else process.env['XDG_CACHE_HOME'] = before;
  rmSync(home, { recursive: true });
});

function bedNamed(name: string): Bed {
  const bed = BEDS.find((candidate) => candidate.name === name);
  if (bed === undefined) throw new Error(`Cannot find bed ${name}`);
  return bed;
}

function failure(work: () => unknown): BoxError {
  try {
    work();
  } catch (error) {
    if (BoxError.is(error)) return error;
    throw error;
  }
  throw new Error('Cannot find a failure: it succeeded');
}

describe('a scenario that needs something of its bed', () => {
  it('says in one line which beds have it', () => {
    const error = failure(() => findBed('arm64-4.17', ['hvmloader']));
    expect(error.code).toBe('BAD_OPTION');
    expect(error.message).toBe(
      'Cannot use arm64-4.17: it has no hvmloader; use x86_64-4.17 or x86_64-4.20',
    );
  });

  it('is not offered a bed that lacks it', () => {
    const error = failure(() => findBed(undefined, ['hvmloader']));
    expect(error.code).toBe('MISSING_ARTEFACT');
    expect(error.message).toContain('xen-x86_64-4.17');
  });

  it('is told of all beds when it names none of them', () => {
    const error = failure(() => findBed('x86_64-3.0', ['hvmloader']));
    expect(error.message).toMatch(/no such bed; there are arm64-4.17, /);
  });
});

describe('the device model of a bed', () => {
  it('is made by setup, and no bed waits for it', () => {
    for (const bed of BEDS.filter(({ features }) => features.includes('hvmloader'))) {
      const { deviceModel } = bed;
      expect(allArtefacts()).toContain(deviceModel);
      expect(artefactsOf(bed)).not.toContain(deviceModel);
    }
  });

  it('is missing with the reason that setup found', () => {
    const bed = bedNamed('x86_64-4.20');
    expect(deviceModelStatus(bed)).toMatchObject({ state: 'missing', ready: false });
    const reason = 'Cannot download qemu-system-xen';
    writeSetupReport({
      beds: {},
      missing: { 'device-model-4.20': { state: 'unavailable', reason } },
    });
    expect(deviceModelStatus(bed)).toEqual({ state: 'unavailable', ready: false, reason });
    const error = failure(() => deviceModelOf(bed));
    expect(error.code).toBe('MISSING_ARTEFACT');
    expect(error.message).toBe(`Cannot boot x86_64-4.20 with a device model: ${reason}`);
  });

  it('is nothing that arm64 has', () => {
    expect(failure(() => deviceModelOf(bedNamed('arm64-4.20'))).code).toBe('BAD_OPTION');
  });
});

describe("an x86 guest's configuration", () => {
  const bed = bedNamed('x86_64-4.20');
  const config = (firmware?: 'shim' | 'hvmloader') =>
    domainConfig(bed, 1, {
      name: 'guest',
      devices: ['i2c'],
      ...(firmware === undefined ? {} : { firmware }),
    });

  it('has our own firmware and no device model by default', () => {
    const { text, prepare } = config();
    expect(text).toMatch(/^firmware_override = /m);
    expect(text).toMatch(/^memory = 128$/m);
    expect(prepare).toContain('virtio_mmio.device=0x200@0xe0000000:5');
  });

  it("has QEMU and a kernel that QEMU boots, and Xen's console, with hvmloader", () => {
    const { text, prepare } = config('hvmloader');
    expect(prepare).toBe('');
    expect(text).toMatch(/^device_model_version = "qemu-xen"$/m);
    expect(text).toMatch(/^memory = 256$/m);
    expect(text).toMatch(
      /^cmdline = "console=hvc0 loglevel=5 virtio_mmio.device=0x200@0xe0000000:5"$/m,
    );
    expect(text).not.toMatch(/firmware_override|serial|ttyS0/);
  });
});
