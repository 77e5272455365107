import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { afterEach, describe, expect, it } from 'vitest';
import { KvmSysError, KvmVcpu } from '../src/index.ts';
import { type Code, SHOW_MMIO, SPIN } from './fixtures/code.ts';
import { TestGuest, unavailable } from './fixtures/test-guest.ts';

const SAY_AND_SPIN: Code = [...SHOW_MMIO, ['c606100011', 'mov byte [0x10], 0x11'], ...SPIN];

let made: TestGuest | undefined;
afterEach(async () => {
  await made?.close();
  made = undefined;
});
const guest = (code: Code): TestGuest => {
  made = new TestGuest({ code });
  return made;
};

describe.skipIf(unavailable)(`threads of vCPUs ${unavailable ?? 'on /dev/kvm'}`, () => {
  it('that spin for ever in the guest end by themselves within the deadline', async () => {
    const one = guest(SAY_AND_SPIN);
    const running = [0, 1].map((id) => one.run(id));
    for (const { accesses } of running) await expect.poll(() => accesses).toHaveLength(1);
    expect(one.threads.running).toBe(2);
    await one.threads.stop(30_000);
    // A thread that had to be terminated would have no report.
    for (const each of running) expect((await each.ended()).exit.kind).toBe('interrupted');
    expect(one.threads.running).toBe(0);
  });

  it('that never get to the guest do not enter it', async () => {
    const one = guest(SAY_AND_SPIN);
    const running = one.run();
    await one.threads.stop(30_000);
    expect((await running.ended()).exit.kind).toBe('interrupted');
    expect(running.accesses).toEqual([]);
  });

  it('that still load their modules when the deadline has passed end by themselves', async () => {
    const one = guest(SAY_AND_SPIN);
    const running = one.run(0, { beginMs: 3000 });
    await one.threads.stop(2000);
    // One that was terminated has no report.
    expect((await running.ended()).exit.kind).toBe('interrupted');
    expect(running.vcpu.taken).toBe(true);
    expect(running.vcpu.held).toBe(false);
  });

  it('that never begin are terminated all the same', async () => {
    const one = guest(SAY_AND_SPIN);
    const running = one.run(0, { beginMs: 100_000 });
    await one.threads.stop(1000, 100).catch(() => undefined);
    await running.thread.ended;
    expect(running.report).toBeUndefined();
    expect(one.threads.running).toBe(0);
    expect(running.vcpu.taken).toBe(false);
  });

  it('whose own code loops are terminated, and the vCPU is free', async () => {
    const one = guest(SAY_AND_SPIN);
    const looping = new Int32Array(new SharedArrayBuffer(4));
    const running = one.run(0, { misbehave: 'loop', looping });
    // The message of a thread that loops does not arrive before it ends. One that only has its vCPU may still be
    // stopped before it loops.
    await expect.poll(() => Atomics.load(looping, 0), { timeout: 60_000 }).toBe(1);
    expect(running.vcpu.held).toBe(true);
    await one.threads.stop(1000);
    await running.thread.ended;
    expect(running.report).toBeUndefined();
    expect(running.vcpu.held).toBe(false);
    running.vcpu.close();
  });

  it('that cannot be made leave nothing, and the vCPU is free for another', async () => {
    const one = guest(SAY_AND_SPIN);
    const descriptors = (): number => readdirSync('/proc/self/fd').length;
    const vcpu = one.vm.createVcpu(0);
    const [before, listeners] = [descriptors(), process.listenerCount('exit')];
    // Of a kind of which Node makes no thread.
    const entry = new URL('https://example.org/vcpu.js');
    for (let i = 0; i < 4; i++) expect(() => one.threads.start(vcpu, entry)).toThrow(/URL/);
    expect([descriptors(), process.listenerCount('exit')]).toEqual([before, listeners]);
    expect(one.threads.running).toBe(0);
    expect(vcpu.held).toBe(false);
    vcpu.close();
    expect(descriptors()).toBe(before - 1);
  });

  it('that throw say so, and the vCPU is free', async () => {
    const running = guest(SAY_AND_SPIN).run(0, { misbehave: 'throw' });
    await expect(running.thread.ended).rejects.toThrow('a bus that throws');
    expect(running.vcpu.held).toBe(false);
  });

  it('keep vCPU and VM from being closed, and others from having the vCPU', async () => {
    const one = guest(SAY_AND_SPIN);
    const { vcpu, accesses } = one.run();
    await expect.poll(() => accesses).toHaveLength(1);
    const thrown = (call: () => unknown): string | undefined => {
      try {
        call();
        return undefined;
      } catch (error) {
        return KvmSysError.is(error) ? error.code : String(error);
      }
    };
    expect(thrown(() => vcpu.close())).toBe('IN_USE');
    expect(thrown(() => one.vm.close())).toBe('IN_USE');
    expect(thrown(() => KvmVcpu.attach(vcpu.ticket()))).toBe('IN_USE');
    expect(one.vm.live).toBe(true);
    const ticket = vcpu.ticket();
    await one.threads.stop(30_000);
    one.vm.close();
    expect(thrown(() => KvmVcpu.attach(ticket))).toBe('CLOSED');
    expect(thrown(() => vcpu.ticket())).toBe('CLOSED');
    expect(thrown(() => vcpu.kick())).toBe('CLOSED');
    vcpu.requestStop();
  });

  it('do not keep a process from exiting', async () => {
    const script = fileURLToPath(new URL('./fixtures/exit-process.mjs', import.meta.url));
    const child = spawn(process.execPath, [script], { stdio: 'inherit' });
    try {
      const [status] = (await once(child, 'exit')) as [number | null];
      expect(status).toBe(7);
    } finally {
      child.kill('SIGKILL');
    }
  });
});
