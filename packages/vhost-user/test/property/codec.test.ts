import { readdirSync } from 'node:fs';
import { asFd, EventFd, MainPoller, UnixStream } from '@node-vmm/vmm-sys-util';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  BACKEND_REQUESTS,
  type CloseReason,
  FRONTEND_REQUESTS,
  MessageCodec,
  type MessageSpec,
  type MessageTable,
  type PayloadKind,
  VHOST_USER_HEADER,
  VhostUserConnection,
  VhostUserError,
} from '../../src/index.ts';

const u32 = fc.nat({ max: 0xffff_ffff });
const u64 = fc.bigInt({ min: 0n, max: 0xffff_ffff_ffff_ffffn });
const half = fc.bigInt({ min: 0n, max: 0x7fff_ffff_ffff_ffffn });
const size = fc.bigInt({ min: 1n, max: 0x7fff_ffff_ffff_ffffn });
const state = (num: fc.Arbitrary<number>) => fc.record({ index: u32, num });
const aligned = (by: bigint) => half.map((value) => value - (value % by));
const vringFd = fc.record({ index: fc.nat({ max: 255 }), hasFd: fc.boolean() });
const plainRegion = { guestAddr: half, size, userAddr: half, mmapOffset: half };
const xenFlags = fc.constantFrom(0, 1, 2, 0xa, 0x102, 0x10a);
const region = (xen: boolean) =>
  xen
    ? fc.record({ ...plainRegion, xen: fc.record({ mmapFlags: xenFlags, domid: u32 }) })
    : fc.record(plainRegion);
const log = fc.record({ mmapSize: size, mmapOffset: half });

const PAYLOADS: Record<PayloadKind, (xen: boolean) => fc.Arbitrary<unknown>> = {
  none: () => fc.constant(undefined),
  u64: () => u64,
  features: () => u64,
  protocolFeatures: () => u64,
  vringState: () => state(u32),
  vringSize: () => state(fc.integer({ min: 1, max: 32768 })),
  vringFlag: () => state(fc.nat({ max: 1 })),
  vringIndex: () => state(fc.constant(0)),
  vringAddr: () =>
    fc.record({
      index: u32,
      flags: fc.nat({ max: 1 }),
      descTable: aligned(16n),
      usedRing: aligned(4n),
      availRing: aligned(2n),
      log: u64,
    }),
  vringFd: () => vringFd,
  vringArea: () =>
    fc.tuple(vringFd, size, half).map(([vring, length, offset]) => ({
      ...vring,
      size: length,
      offset,
    })),
  memory: (xen) => fc.array(region(xen), { maxLength: 32 }),
  memoryRegion: region,
  log: () => fc.oneof(u64, log),
  config: () =>
    fc.record({
      offset: fc.nat({ max: 2048 }),
      flags: fc.nat({ max: 3 }),
      data: fc.uint8Array({ maxLength: 2048 }),
    }),
  inflight: () =>
    fc.record({
      mmapSize: size,
      mmapOffset: half,
      numQueues: fc.integer({ min: 1, max: 0xffff }),
      queueSize: fc.integer({ min: 1, max: 0xffff }),
    }),
  iotlb: () =>
    fc.record({
      iova: half,
      size,
      userAddr: half,
      perm: fc.nat({ max: 3 }),
      type: fc.integer({ min: 1, max: 4 }),
    }),
  sharedObject: () =>
    fc.uint8Array({ minLength: 16, maxLength: 16 }).filter((uuid) => uuid[0] !== uuid[1]),
  deviceState: () => fc.record({ direction: fc.nat({ max: 1 }), phase: fc.constant(0) }),
  mmap: () =>
    fc.record({
      shmid: fc.nat({ max: 255 }),
      fdOffset: half,
      shmOffset: half,
      length: size,
      flags: fc.constantFrom(0n, 1n),
    }),
  shmemConfig: () => fc.array(u64, { minLength: 256, maxLength: 256 }),
  bytes: () => fc.uint8Array({ maxLength: 4096 }),
};

function fdsOf(spec: MessageSpec, reply: boolean, payload: unknown): number {
  const rule = reply ? (spec.reply?.fds ?? 'none') : spec.fds;
  switch (rule) {
    case 'none':
    case 'optional':
      return 0;
    case 'one':
      return 1;
    case 'perRegion':
      return (payload as unknown[]).length;
    case 'byPayload':
      if (spec.payload === 'log') return typeof payload === 'bigint' ? 0 : 1;
      if (typeof payload === 'bigint') return (payload & 0x1ffn) === 0n ? 1 : 0;
      return (payload as { hasFd: boolean }).hasFd ? 1 : 0;
  }
}

const tables: [string, MessageTable][] = [
  ['front-end', FRONTEND_REQUESTS],
  ['back-end', BACKEND_REQUESTS],
];

const anyMessage = fc.constantFrom(...tables).chain(([, table]) =>
  fc.constantFrom(...Object.entries(table)).chain(([name, spec]) =>
    fc.record({ reply: fc.boolean(), xen: fc.boolean() }).chain(({ reply, xen }) => {
      const kinds = reply ? (spec.reply?.payload ?? (['u64'] as const)) : [spec.payload];
      return fc
        .constantFrom(...kinds)
        .chain((kind) => PAYLOADS[kind](xen))
        .map((payload) => ({ table, name, spec, reply, xen, payload }));
    }),
  ),
);

describe('codec properties', () => {
  it('reads back every message that it writes', () => {
    fc.assert(
      fc.property(anyMessage, fc.boolean(), ({ table, name, spec, reply, xen, payload }, ack) => {
        const codec = new MessageCodec(table);
        codec.options.xenMmap = xen;
        const fds = fdsOf(spec, reply, payload);
        const bytes = reply
          ? codec.encodeReply(name, payload as never, fds)
          : codec.encodeRequest(name, payload as never, fds, ack);
        const header = codec.decodeHeader(bytes);
        if (!header.known) throw new TypeError('unknown');
        expect(header.size).toBe(bytes.length - VHOST_USER_HEADER.SIZE);
        const decoded = codec.decode(header, bytes.subarray(VHOST_USER_HEADER.SIZE), fds);
        expect(decoded).toMatchObject({ name, reply, needReply: !reply && ack });
        expect(decoded.payload).toEqual(payload);
      }),
      { numRuns: 1000 },
    );
  });

  it('throws nothing but VhostUserError on any bytes', () => {
    const anyHeader = fc.record({
      request: fc.nat({ max: 50 }),
      flags: fc.constantFrom(0x1, 0x5, 0x9, 0xd, 0x0, 0x11),
      xen: fc.boolean(),
      table: fc.constantFrom(...tables),
      payload: fc.oneof(
        fc.uint8Array({ maxLength: 300 }),
        fc
          .array(u32, { maxLength: 20 })
          .map((words) => new Uint8Array(Uint32Array.from(words).buffer)),
        fc.constantFrom(0, 8, 16, 20, 24, 32, 40, 48).map((length) => new Uint8Array(length)),
      ),
      fds: fc.nat({ max: 3 }),
    });
    fc.assert(
      fc.property(anyHeader, ({ request, flags, xen, table: [, table], payload, fds }) => {
        const codec = new MessageCodec(table);
        codec.options.xenMmap = xen;
        try {
          const header = codec.decodeHeader(
            VHOST_USER_HEADER.encode({ request, flags, size: payload.length }),
          );
          if (!header.known) return;
          const decoded = codec.decode(header, payload, fds);
          const { name, spec } = header;
          // What is accepted can be written again, hence handled.
          if (decoded.reply && spec.reply?.fds !== 'optional') {
            codec.encodeReply(name, decoded.payload as never, fds);
          }
        } catch (error) {
          expect(VhostUserError.is(error), String(error)).toBe(true);
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe('connection properties', () => {
  it('survives any stream with any descriptors and leaks none', async () => {
    const chunk = fc.record({
      bytes: fc.oneof(
        fc.uint8Array({ minLength: 1, maxLength: 64 }),
        fc
          .record({
            request: fc.integer({ min: 1, max: 44 }),
            payload: fc.oneof(
              fc.constantFrom(0, 8, 16, 24, 32, 40, 48).map((length) => new Uint8Array(length)),
              fc.uint8Array({ maxLength: 64 }),
            ),
          })
          .map(({ request, payload }) =>
            Buffer.concat([
              VHOST_USER_HEADER.encode({ request, flags: 1, size: payload.length }),
              payload,
            ]),
          ),
      ),
      fds: fc.nat({ max: 5 }),
    });
    const poller = new MainPoller();
    poller.watch(asFd(0), {}, () => undefined).close();
    const event = EventFd.create();
    const before = readdirSync('/proc/self/fd').length;
    await fc.assert(
      fc.asyncProperty(fc.array(chunk, { maxLength: 12 }), async (chunks) => {
        const [raw, theirs] = UnixStream.pair();
        const closed: CloseReason[] = [];
        const back = new VhostUserConnection({
          stream: theirs,
          poller,
          table: FRONTEND_REQUESTS,
          onRequest: () => undefined,
          onClose: (reason) => closed.push(reason),
        });
        for (const { bytes, fds } of chunks) {
          if (!back.live) break;
          raw.send(
            bytes,
            Array.from({ length: fds }, () => event.fd),
          );
          await new Promise((resolve) => setImmediate(resolve));
        }
        raw.close();
        while (closed.length === 0) await new Promise((resolve) => setImmediate(resolve));
        expect(closed[0]?.kind).toMatch(/peer-closed|protocol-error/);
        expect(VhostUserError.is(closed[0]?.error)).toBe(true);
      }),
      { numRuns: 300 },
    );
    // Poll handles release what they hold a turn later.
    await expect.poll(() => readdirSync('/proc/self/fd').length).toBe(before);
    event.close();
    poller.close();
  });
});
