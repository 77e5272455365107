import { afterEach, describe, expect, it } from 'vitest';
import { DEFAULT_DISPATCH_THREADS } from '../../src/dispatch-threads.ts';
import { GuestLines } from '../../src/guest-lines.ts';
import { parseKvmArguments } from '../../src/kvm-args.ts';
import { parseKvmDevice, placeKvmDevices } from '../../src/kvm-device.ts';

const parse = async (...argv: string[]) => {
  const parsed = await parseKvmArguments(argv);
  if ('print' in parsed) throw new Error(parsed.print);
  return parsed.run;
};

describe('the command line of kvm', () => {
  it('says what is to run, with defaults', async () => {
    expect(await parse('--image', 'guest.bin')).toMatchObject({
      image: 'guest.bin',
      memory: 16 << 20,
      vcpus: 1,
      append: '',
      devices: [],
      notification: 'auto',
      dispatchThreads: DEFAULT_DISPATCH_THREADS,
      logLevel: 'info',
    });
    const words = ['--image', 'g', '--memory', '2G', '--vcpus', '4', '--huge-pages', '2M'];
    const threads = ['--dispatch-threads', '2', '--dispatch-nice', '-5'];
    expect(await parse(...words, ...threads, '--device', 'rng,spawn')).toMatchObject({
      memory: 2 ** 31,
      dispatchThreads: 2,
      dispatchNice: -5,
      vcpus: 4,
      hugePageSize: 2 << 20,
      devices: [{ type: { name: 'rng' }, socket: undefined }],
    });
  });

  it.each([
    [[], /--image FILE/],
    [['--kernel', 'bzImage'], /Linux guests come later/],
    [['--image', 'g', '--memory', '1T'], /--memory expects a size/],
    [['--image', 'g', '--dispatch-threads', '65'], /--dispatch-threads 65: .* 0 to 64/],
    [['--image', 'g', '--dispatch-nice', '20'], /--dispatch-nice 20: .* -20 to 19/],
    [['--image', 'g', '--dispatch-threads', '0', '--dispatch-nice', '1'], /has no --dispatch-nice/],
    [['--image', 'g', '--vcpus', '0'], /--vcpus expects a number/],
    [['--image', 'g', '--device', 'rng'], /a socket or spawn/],
    [['--image', 'g', '--device', 'rng,spawn,socket=/tmp/x'], /a socket or spawn/],
    [['--image', 'g', '--device', 'rng,spawn,spawn'], /one spawn, got two/],
    [['--image', 'g', '--device', 'rng,spawn,domain=1'], /got "domain=1"/],
    [['--image', 'g', '--device', 'tea,spawn'], /a device type/],
    [['--image', 'g', '--device', '99,spawn'], /a socket for 99/],
    [['--image', 'g', '--device', 'rng,spawn,base=0x123'], /a multiple of 0x200/],
  ])('%j is refused', async (argv, message) => {
    await expect(parse(...argv)).rejects.toMatchObject({
      code: 'USAGE',
      message: expect.stringMatching(message),
    });
  });
});

describe('devices of a KVM guest', () => {
  const place = (...texts: string[]) =>
    placeKvmDevices(texts.map(parseKvmDevice), 0xd000_0000n).map(({ base, irq }) => [base, irq]);

  it('get places that nobody has', () => {
    expect(place('rng,spawn', 'i2c,spawn,base=0xd0000000', 'gpio,spawn,irq=5')).toEqual([
      [0xd000_1000n, 6],
      [0xd000_0000n, 7],
      [0xd000_2000n, 5],
    ]);
    // More than there are lines.
    expect(new Set(place(...Array(40).fill('rng,spawn')).map(([base]) => base)).size).toBe(40);
  });

  it('are refused at one place', () => {
    expect(() => place('rng,spawn,base=0xd0000000', 'i2c,spawn,base=0xd0000000')).toThrow(
      /twice for base=0xd0000000/,
    );
  });
});

describe('what a guest says', () => {
  let now = 0;
  afterEach(() => {
    now = 0;
  });

  it('is left out where it is too much, and that is told', () => {
    const said: string[] = [];
    const lines = new GuestLines(
      (text) => said.push(text),
      () => now,
    );
    for (let i = 0; i < 2100; i++) lines.say(`${i}`);
    expect(said).toHaveLength(2000);
    now = 10;
    lines.say('later');
    expect(said.slice(2000)).toEqual(['(100 lines of the guest were left out)\n', 'later\n']);
  });
});
