// What an exit of a vCPU costs: the same guest under a C program and under a Worker that serves a bus,
// taking turns. Run after a build: node packages/kvm-sys/bench/exits.bench.mjs

import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { isMainThread, parentPort, workerData } from 'node:worker_threads';
import { Kvm, KvmVcpu, kvmStatus, VcpuThreads } from '@node-vmm/kvm-sys';
import { EventFd, Mapping } from '@node-vmm/vmm-sys-util';

const ROUNDS = 6;
const COUNT = 20_000;
const CODE_AT = 0x1000;
/** Where the guest writes to when the kernel is to take it for a notification. */
const NOTIFY_AT = 0xd0020n;

/** Real mode: `access` so many times, and hlt. */
function guest(access) {
  const count = Buffer.alloc(4);
  count.writeUInt32LE(COUNT);
  // mov ax, 0xd000; mov ds, ax; mov dx, 0x3f8; mov ecx, COUNT
  const head = Buffer.concat([Buffer.from('b800d08ed8baf80366b9', 'hex'), count]);
  const body = Buffer.from(access, 'hex');
  // dec ecx; jnz to the access; hlt
  const tail = Buffer.from([0x66, 0x49, 0x75, 256 - body.length - 4, 0xf4]);
  return Buffer.concat([head, body, tail]).toString('hex');
}

const KINDS = [
  { title: 'write to memory', code: guest('c606100011'), exits: true },
  { title: 'read of memory', code: guest('a01000'), exits: true },
  { title: 'write to a port', code: guest('ee'), exits: true },
  { title: 'write to an ioeventfd', code: guest('c606200011'), exits: false },
];

/** Arguments: the guest's code. Prints nanoseconds for each access. */
const SOURCE = String.raw`
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
int main(int argc, char **argv) {
  int kvm = open("/dev/kvm", O_RDWR), vm = ioctl(kvm, KVM_CREATE_VM, 0);
  int size = ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), flags = MAP_SHARED | MAP_ANONYMOUS;
  uint8_t *memory = mmap(0, 65536, PROT_READ | PROT_WRITE, flags, -1, 0);
  for (int i = 0; argv[1][2 * i]; i++) {
    unsigned byte;
    sscanf(argv[1] + 2 * i, "%2x", &byte);
    memory[${CODE_AT} + i] = byte;
  }
  struct kvm_userspace_memory_region region = { 0, 0, 0, 65536, (uintptr_t)memory };
  if (ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region)) return 1;
  struct kvm_ioeventfd notify = { .addr = ${NOTIFY_AT}, .len = 1, .fd = eventfd(0, EFD_NONBLOCK) };
  if (ioctl(vm, KVM_IOEVENTFD, &notify)) return 1;
  int vcpu = ioctl(vm, KVM_CREATE_VCPU, 0);
  struct kvm_run *run = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED, vcpu, 0);
  struct kvm_sregs sregs;
  ioctl(vcpu, KVM_GET_SREGS, &sregs);
  sregs.cs.base = sregs.cs.selector = 0;
  struct kvm_regs regs = { .rip = ${CODE_AT}, .rflags = 2 };
  if (ioctl(vcpu, KVM_SET_SREGS, &sregs) || ioctl(vcpu, KVM_SET_REGS, &regs)) return 1;
  struct timespec a, b;
  long sum = 0;
  clock_gettime(CLOCK_MONOTONIC, &a);
  for (;;) {
    if (ioctl(vcpu, KVM_RUN, 0)) return 1;
    if (run->exit_reason == KVM_EXIT_HLT) break;
    if (run->exit_reason == KVM_EXIT_MMIO) {
      if (run->mmio.is_write) sum += run->mmio.data[0];
      else memset(run->mmio.data, 0x5a, run->mmio.len);
    } else if (run->exit_reason == KVM_EXIT_IO) sum += ((uint8_t *)run)[run->io.data_offset];
    else return 1;
  }
  clock_gettime(CLOCK_MONOTONIC, &b);
  if (sum < 0) return 1;
  printf("%f\n", ((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec)) / ${COUNT});
  return 0;
}
`;

/** The C program as a function of the guest's code; undefined without a compiler. */
function compile(directory) {
  const [source, program] = [join(directory, 'exits.c'), join(directory, 'exits')];
  writeFileSync(source, SOURCE);
  try {
    execFileSync('cc', ['-O2', '-o', program, source], { stdio: 'ignore' });
  } catch {
    return undefined;
  }
  return (code) => Number(execFileSync(program, [code], { encoding: 'utf8' }));
}

/** @returns nanoseconds for each access, as its Worker has measured them */
async function measure(code) {
  const kvm = Kvm.open();
  const vm = kvm.createVm();
  const memory = Mapping.create({ length: 65536 });
  const eventfd = EventFd.create();
  const threads = new VcpuThreads();
  try {
    vm.setUserMemoryRegion({ slot: 0, address: 0n, memory });
    vm.ioeventfd({ space: 'memory', address: NOTIFY_AT, length: 1, eventfd });
    new Uint8Array(memory.buffer()).set(Buffer.from(code, 'hex'), CODE_AT);
    const { worker, ended } = threads.start(vm.createVcpu(0), new URL(import.meta.url));
    const [[ns]] = await Promise.all([once(worker, 'message'), ended]);
    return ns;
  } finally {
    await threads.stop();
    vm.close();
    memory.close();
    eventfd.close();
    kvm.close();
  }
}

function runGuest(ticket) {
  const vcpu = KvmVcpu.attach(ticket);
  const sregs = vcpu.registers.getSregs();
  vcpu.registers.setSregs({ ...sregs, cs: { ...sregs.cs, base: 0n, selector: 0 } });
  vcpu.registers.setRegs({ rip: BigInt(CODE_AT), rflags: 2n });
  let sum = 0;
  const bus = {
    mmioWrite: (_address, data) => {
      sum += data[0];
    },
    mmioRead: (_address, data) => {
      for (let i = 0; i < data.length; i++) data[i] = 0x5a;
    },
    portWrite: (_port, data) => {
      sum += data[0];
    },
  };
  const started = process.hrtime.bigint();
  const { kind } = vcpu.serve(bus);
  const ns = Number(process.hrtime.bigint() - started) / COUNT;
  vcpu.close();
  if (kind !== 'hlt' || sum < 0) throw new Error(`the guest ended with ${kind}`);
  parentPort.postMessage(ns);
}

const median = (values) => {
  const sorted = values.toSorted((a, b) => a - b);
  return (
    (sorted[Math.floor((sorted.length - 1) / 2)] + sorted[Math.ceil((sorted.length - 1) / 2)]) / 2
  );
};

/** The ratio of the medians, and that of the fastest rounds, which a busy machine disturbs least. */
function against(ours, theirs) {
  if (theirs.length === 0) return '';
  const c = median(theirs);
  const [ratio, least] = [median(ours) / c, Math.min(...ours) / Math.min(...theirs)];
  return `; C ${(c / 1000).toFixed(2)} us: ${ratio.toFixed(2)} x (fastest rounds ${least.toFixed(2)} x)`;
}

async function main() {
  const { device, remedies } = kvmStatus();
  if (device !== 'usable' || process.arch !== 'x64') {
    console.log(`  nothing to measure here: ${remedies[0] ?? 'the guest is of x86'}`);
    return;
  }
  const directory = mkdtempSync(join(tmpdir(), 'node-vmm-bench-'));
  try {
    const inC = compile(directory);
    console.log(`  Node ${process.versions.node}, ${ROUNDS} rounds of ${COUNT}, by turns; medians`);
    if (inC === undefined) console.log('  no cc here, so there is no ratio');
    for (const { title, code, exits } of KINDS) {
      const [ours, theirs] = [[], []];
      for (let round = 0; round < ROUNDS; round++) {
        if (inC !== undefined) theirs.push(inC(code));
        ours.push(await measure(code));
      }
      const ns = median(ours);
      const rate = exits ? `, ${Math.round(1e9 / ns)} exits/s` : ', no exit';
      console.log(
        `  ${title.padEnd(22)} ${(ns / 1000).toFixed(2)} us${rate}${against(ours, theirs)}`,
      );
    }
  } finally {
    rmSync(directory, { recursive: true });
  }
}

if (isMainThread) await main();
else runGuest(workerData.vcpu);
