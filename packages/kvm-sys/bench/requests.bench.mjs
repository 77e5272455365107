// What a whole request costs a guest: write to QueueNotify, back-end, interrupt, InterruptStatus read and acknowledged.
// The same guest under a C program and under Workers, by turns: once the kernel passes on kicks and interrupts
// (ioeventfd, irqfd), once they leave the guest for user space. Each side has a thread for the vCPU, one for the
// back-end and one that interrupts; figures are medians of the time from one acknowledgement to the next. Run after a build: node packages/kvm-sys/bench/requests.bench.mjs

import { execFileSync, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isMainThread, parentPort, Worker, workerData } from 'node:worker_threads';
import { Kvm, KvmVcpu, kvmStatus, VcpuThreads } from '@node-vmm/kvm-sys';
import { EventFd, EventLoop, Mapping } from '@node-vmm/vmm-sys-util';

const ROUNDS = Number(process.env.BENCH_ROUNDS ?? 6);
const COUNT = Number(process.env.BENCH_REQUESTS ?? 5000);
// As in requests.c.
const [CODE_AT, HANDLER_AT, VECTOR, LINE] = [0x1000, 0x1800, 0x25, 5];
const [BEGIN, END, NOTIFY] = [0xd0010n, 0xd0011n, 0xd0020n];
const [INTERRUPT_STATUS, ACK] = [0xd0060n, 0xd0064n];
const KINDS = [
  { title: 'ioeventfd and irqfd', assisted: true },
  { title: 'user-space exits', assisted: false },
];

/** Real mode: makes requests and waits for each, twice as many: those of before `BEGIN` warm up. */
function guest() {
  const requests = [
    ['66b9', 'mov ecx, count'],
    [(COUNT >>> 0).toString(16).padStart(8, '0').match(/../g).toReversed().join('')],
    ['fa', 'cli'],
    ['c606200000', 'mov byte [0x20], 0'],
    ['fbf4', 'sti; hlt: no interrupt comes between them'],
    ['6649', 'dec ecx'],
    ['75f4', 'jnz to cli'],
  ];
  const code = [
    ['b800d08ed8', 'mov ax, 0xd000; mov ds, ax'],
    // The first PIC: vectors from 0x20 on, all but line 5 masked.
    ['b011e620b020e621b004e621b001e621b0dfe621', 'mov al, 0x11; out 0x20, al; ...'],
    ...requests,
    ['c606100000', 'mov byte [0x10], 0'],
    ...requests,
    ['c606110000', 'mov byte [0x11], 0'],
  ];
  return code.map(([bytes]) => bytes).join('');
}
/** mov al, [0x60]; mov byte [0x64], 1; mov al, 0x20; out 0x20, al; iret */
const HANDLER = 'a06000c606640001b020e620cf';

/** The C program; undefined without a compiler. */
function compile(directory) {
  const program = join(directory, 'requests');
  const source = fileURLToPath(new URL('requests.c', import.meta.url));
  try {
    execFileSync('cc', ['-O2', '-pthread', '-o', program, source], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return (assisted, placement) =>
    run(placement, [program, guest(), HANDLER, assisted ? '1' : '0', `${COUNT}`]);
}

/** Where all threads of a side run: on one core, or where the scheduler puts them. */
function placements() {
  const list = /^Cpus_allowed_list:\s+(\d+)/m.exec(readFileSync('/proc/self/status', 'utf8'));
  const any = { name: 'any core', line: [] };
  if (list === null || spawnSync('taskset', ['--version']).status !== 0) return [any];
  return [{ name: 'one core', line: ['taskset', '-c', list[1]] }, any];
}

/** @returns what the program printed, nanoseconds for a request */
function run({ line }, program) {
  const [command, ...args] = [...line, ...program];
  return Number(execFileSync(command, args, { encoding: 'utf8', timeout: 60_000 }));
}

/** {@link measure}, in a process that is placed. */
function ours(assisted, placement) {
  const script = fileURLToPath(import.meta.url);
  return run(placement, [process.execPath, script, assisted ? 'assisted' : 'user-space']);
}

/** @returns nanoseconds for each request */
async function measure(assisted) {
  const vmm = new Worker(new URL(import.meta.url), {
    workerData: { role: 'vmm', assisted },
    // Descriptors belong to the process, not to the thread that happens to close them.
    trackUnmanagedFds: false,
  });
  const [[ns]] = await Promise.all([once(vmm, 'message'), once(vmm, 'exit')]);
  return ns;
}

/** The thread that has the VM, and interrupts its guest. */
async function runVmm(assisted) {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  const memory = Mapping.create({ length: 65536 });
  const [kick, call, stop, stopBackEnd] = Array.from({ length: 4 }, () => EventFd.create());
  const shared = new Int32Array(new SharedArrayBuffer(4));
  const threads = new VcpuThreads();
  vm.setUserMemoryRegion({ slot: 0, address: 0n, memory });
  vm.createIrqchip();
  const bytes = new Uint8Array(memory.buffer());
  bytes.set(Buffer.from(guest(), 'hex'), CODE_AT);
  bytes.set(Buffer.from(HANDLER, 'hex'), HANDLER_AT);
  bytes.set([HANDLER_AT & 0xff, HANDLER_AT >> 8, 0, 0], 4 * VECTOR);
  const loop = new EventLoop(stop);
  if (assisted) {
    vm.ioeventfd({ space: 'memory', address: NOTIFY, length: 1, eventfd: kick });
    vm.irqfd({ gsi: LINE, eventfd: call });
  } else {
    loop.watchSignals(call.fd, () => {
      Atomics.store(shared, 0, 1);
      vm.irqLine(LINE, 1);
      vm.irqLine(LINE, 0);
    });
  }
  // Descriptors belong to the process, not to the thread that happens to close them.
  const options = { trackUnmanagedFds: false };
  const fds = { kick: kick.fd, call: call.fd, stop: stop.fd, stopBackEnd: stopBackEnd.fd };
  const backEnd = new Worker(new URL(import.meta.url), {
    ...options,
    workerData: { role: 'back-end', fds },
  });
  const ended = once(backEnd, 'exit');
  const data = { fds, shared, assisted };
  const { worker } = threads.start(vm.createVcpu(0), new URL(import.meta.url), data, options);
  const measured = once(worker, 'message');
  // Blocks, whatever it has been told meanwhile is taken afterwards.
  loop.run();
  const [ns] = await measured;
  await Promise.all([threads.stop(), ended]);
  loop.close();
  vm.close();
  memory.close();
  for (const eventfd of [kick, call, stop, stopBackEnd]) eventfd.close();
  kvm.close();
  parentPort.postMessage(ns);
}

function runBackEnd(fds) {
  const call = EventFd.fromFd(fds.call);
  const loop = new EventLoop(EventFd.fromFd(fds.stopBackEnd));
  loop.watchSignals(fds.kick, () => call.signal());
  loop.run();
  loop.close();
}

function runGuest({ vcpu: ticket, data: { fds, shared, assisted } }) {
  const vcpu = KvmVcpu.attach(ticket);
  const sregs = vcpu.registers.getSregs();
  vcpu.registers.setSregs({ ...sregs, cs: { ...sregs.cs, base: 0n, selector: 0 } });
  vcpu.registers.setRegs({ rip: BigInt(CODE_AT), rsp: 0x8000n, rflags: 2n });
  const kick = EventFd.fromFd(fds.kick);
  const always = assisted ? 1 : 0;
  const samples = new Float64Array(COUNT);
  let taken = 0;
  let last = 0n;
  let over = false;
  const bus = {
    mmioWrite: (address) => {
      if (address === NOTIFY) kick.signal();
      else if (address === ACK) {
        Atomics.store(shared, 0, 0);
        if (last === 0n || taken === COUNT) return;
        const at = process.hrtime.bigint();
        samples[taken++] = Number(at - last);
        last = at;
      } else if (address === BEGIN) last = process.hrtime.bigint();
      else if (address === END) {
        over = true;
        EventFd.fromFd(fds.stop).signal();
        EventFd.fromFd(fds.stopBackEnd).signal();
      }
    },
    mmioRead: (address, bytes) => {
      if (address === INTERRUPT_STATUS) bytes[0] = always | Atomics.load(shared, 0);
    },
  };
  while (!over) {
    const exit = vcpu.run();
    if (exit.kind !== 'mmio') throw new Error(`the guest ended with ${exit.kind}`);
    if (exit.isWrite) bus.mmioWrite(exit.address, exit.data);
    else bus.mmioRead(exit.address, exit.data);
  }
  vcpu.close();
  parentPort.postMessage(samples.slice(0, taken).sort()[Math.floor(taken / 2)]);
}

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return (
    (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2
  );
};

function against(mine, theirs) {
  if (theirs.length === 0) return '';
  const ratios = mine.map((ns, i) => ns / theirs[i]);
  const text = `${median(ratios).toFixed(2)} x (${Math.min(...ratios).toFixed(2)}..${Math.max(...ratios).toFixed(2)})`;
  const least = Math.min(...mine) / Math.min(...theirs);
  return `; C ${(median(theirs) / 1000).toFixed(2)} us: ${text}, fastest rounds ${least.toFixed(2)} x`;
}

function compare({ title, assisted }, placement, inC) {
  const [mine, theirs] = [[], []];
  for (let round = 0; round < ROUNDS; round++) {
    // Each goes first every other time.
    if (inC !== undefined && round % 2 === 0) theirs.push(inC(assisted, placement));
    mine.push(ours(assisted, placement));
    if (inC !== undefined && round % 2 === 1) theirs.push(inC(assisted, placement));
  }
  const us = (median(mine) / 1000).toFixed(2);
  const what = `whole request, ${title}, ${placement.name}`.padEnd(44);
  console.log(`  ${what} ${us} us${against(mine, theirs)}`);
}

function main() {
  const { device, remedies } = kvmStatus();
  if (device !== 'usable' || process.arch !== 'x64') {
    console.log(`  no whole requests here: ${remedies[0] ?? 'the guest is of x86'}`);
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'node-vmm-bench-'));
  try {
    const inC = compile(directory);
    console.log(`  whole requests: ${ROUNDS} rounds of ${COUNT}, by turns; medians`);
    if (inC === undefined) console.log('  no cc here, so there is no ratio');
    for (const placement of placements()) {
      for (const kind of KINDS) compare(kind, placement, inC);
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const [kind] = process.argv.slice(2);
if (isMainThread && kind === undefined) main();
else if (isMainThread) console.log(await measure(kind === 'assisted'));
else if (workerData.role === 'vmm') await runVmm(workerData.assisted);
else if (workerData.role === 'back-end') runBackEnd(workerData.fds);
else runGuest(workerData);
