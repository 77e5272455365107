import { describe, expect, it } from 'vitest';
import {
  BACKEND_REQUESTS,
  type CodecOptions,
  FRONTEND_REQUESTS,
  MessageCodec,
  type MessageHeader,
  type MessageTable,
  printMessage,
  VHOST_USER_HEADER,
  VhostUserError,
} from '../../src/index.ts';

interface Case {
  readonly message: string;
  readonly table?: MessageTable;
  readonly reply?: true;
  readonly xen?: true;
  /** Payload, little endian as on every machine that we run on. */
  readonly hex: string;
  readonly fds?: number;
}
interface Valid extends Case {
  readonly value: unknown;
}
interface Invalid extends Case {
  readonly code: string;
  readonly text: string;
}

const code = (text: string): unknown => expect.objectContaining({ code: text });
const hexOf = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const bytesOf = (hex: string): Uint8Array =>
  new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'));

function codecOf({ table = FRONTEND_REQUESTS, xen }: Case): MessageCodec<MessageTable> {
  const codec = new MessageCodec<MessageTable>(table);
  (codec.options as CodecOptions).xenMmap = xen === true;
  return codec;
}

function decode(test: Case): unknown {
  const codec = codecOf(test);
  const payload = bytesOf(test.hex);
  const id = (test.table ?? FRONTEND_REQUESTS)[test.message as never] as { id: number };
  const header = VHOST_USER_HEADER.encode({
    request: id.id,
    flags: test.reply ? 0x5 : 0x1,
    size: payload.length,
  });
  return codec.decode(known(codec, header), payload, test.fds ?? 0).payload;
}

function known<T extends MessageTable>(
  codec: MessageCodec<T>,
  bytes: Uint8Array,
): MessageHeader<T> {
  const header = codec.decodeHeader(bytes);
  if (!header.known) throw new TypeError(`unknown request ${header.request}`);
  return header;
}

// One region: guest 0x40000000, 0x10000000 bytes, user 0x7f0000000000, offset 0x1000.
const REGION = '0000004000000000' + '0000001000000000' + '00000000007f0000' + '0010000000000000';
const region = {
  guestAddr: 0x4000_0000n,
  size: 0x1000_0000n,
  userAddr: 0x7f00_0000_0000n,
  mmapOffset: 0x1000n,
};
const ADDR =
  '01000000 01000000 1000000000000000 2400000000000000 2200000000000000 9900000000000000';
const UUID = '00112233445566778899aabbccddeeff';

const valid: Valid[] = [
  { message: 'VHOST_USER_GET_FEATURES', hex: '', value: undefined },
  {
    message: 'VHOST_USER_GET_FEATURES',
    reply: true,
    hex: '0000004001000000',
    value: 0x1_4000_0000n,
  },
  { message: 'VHOST_USER_SET_FEATURES', hex: 'ffffffffffffffff', value: 0xffff_ffff_ffff_ffffn },
  { message: 'VHOST_USER_SET_FEATURES', reply: true, hex: '0100000000000000', value: 1n },
  { message: 'VHOST_USER_SET_MEM_TABLE', hex: '0000000000000000', value: [] },
  {
    message: 'VHOST_USER_SET_MEM_TABLE',
    hex: `0100000000000000 ${REGION}`,
    fds: 1,
    value: [region],
  },
  {
    message: 'VHOST_USER_SET_MEM_TABLE',
    hex: `0200000000000000 ${REGION} 01000000 05000000 ${REGION} 0a000000 05000000`,
    xen: true,
    fds: 2,
    value: [
      { ...region, xen: { mmapFlags: 1, domid: 5 } },
      { ...region, xen: { mmapFlags: 0xa, domid: 5 } },
    ],
  },
  {
    message: 'VHOST_USER_SET_MEM_TABLE',
    reply: true,
    hex: `0100000000000000 ${REGION}`,
    value: [region],
  },
  { message: 'VHOST_USER_SET_MEM_TABLE', reply: true, hex: '0000000000000000', value: 0n },
  {
    message: 'VHOST_USER_ADD_MEM_REG',
    hex: `0000000000000000 ${REGION}`,
    fds: 1,
    value: region,
  },
  {
    message: 'VHOST_USER_ADD_MEM_REG',
    hex: `0000000000000000 ${REGION} 02010000 05000000`,
    xen: true,
    fds: 1,
    value: { ...region, xen: { mmapFlags: 0x102, domid: 5 } },
  },
  { message: 'VHOST_USER_REM_MEM_REG', hex: `0000000000000000 ${REGION}`, value: region },
  { message: 'VHOST_USER_REM_MEM_REG', hex: `0000000000000000 ${REGION}`, fds: 1, value: region },
  {
    message: 'VHOST_USER_SET_LOG_BASE',
    hex: '0080000000000000 0010000000000000',
    fds: 1,
    value: { mmapSize: 0x8000n, mmapOffset: 0x1000n },
  },
  { message: 'VHOST_USER_SET_LOG_BASE', hex: '0080000000000000', value: 0x8000n },
  { message: 'VHOST_USER_SET_LOG_BASE', reply: true, hex: '', value: undefined },
  {
    message: 'VHOST_USER_SET_VRING_NUM',
    hex: '02000000 00800000',
    value: { index: 2, num: 32768 },
  },
  {
    message: 'VHOST_USER_SET_VRING_ADDR',
    hex: ADDR,
    value: { index: 1, flags: 1, descTable: 0x10n, usedRing: 0x24n, availRing: 0x22n, log: 0x99n },
  },
  {
    message: 'VHOST_USER_SET_VRING_BASE',
    hex: '00000000 ffffff80',
    value: { index: 0, num: 0x80ffffff },
  },
  {
    message: 'VHOST_USER_GET_VRING_BASE',
    reply: true,
    hex: '00000000 0a000000',
    value: { index: 0, num: 10 },
  },
  {
    message: 'VHOST_USER_SET_VRING_KICK',
    hex: '0300000000000000',
    fds: 1,
    value: { index: 3, hasFd: true },
  },
  {
    message: 'VHOST_USER_SET_VRING_CALL',
    hex: 'ff01000000000000',
    value: { index: 255, hasFd: false },
  },
  { message: 'VHOST_USER_SET_VRING_ENABLE', hex: '01000000 01000000', value: { index: 1, num: 1 } },
  {
    message: 'VHOST_USER_GET_CONFIG',
    hex: '04000000 02000000 00000000 0000',
    value: { offset: 4, flags: 0, data: new Uint8Array(2) },
  },
  {
    message: 'VHOST_USER_GET_CONFIG',
    reply: true,
    hex: '04000000 00000000 00000000',
    value: { offset: 4, flags: 0, data: new Uint8Array(0) },
  },
  {
    message: 'VHOST_USER_GET_CONFIG',
    reply: true,
    hex: '',
    value: { offset: 0, flags: 0, data: new Uint8Array(0) },
  },
  {
    message: 'VHOST_USER_SET_CONFIG',
    hex: '00000000 01000000 02000000 7f',
    value: { offset: 0, flags: 2, data: Uint8Array.of(0x7f) },
  },
  {
    message: 'VHOST_USER_SET_INFLIGHT_FD',
    hex: '0010000000000000 0000000000000000 0200 0001 00000000',
    fds: 1,
    value: { mmapSize: 0x1000n, mmapOffset: 0n, numQueues: 2, queueSize: 256 },
  },
  {
    message: 'VHOST_USER_IOTLB_MSG',
    hex: '0010000000000000 0010000000000000 0000000000000040 03 02 000000000000',
    value: { iova: 0x1000n, size: 0x1000n, userAddr: 0x4000_0000_0000_0000n, perm: 3, type: 2 },
  },
  { message: 'VHOST_USER_GET_SHARED_OBJECT', hex: UUID, value: bytesOf(UUID) },
  { message: 'VHOST_USER_GET_SHARED_OBJECT', reply: true, hex: '', fds: 1, value: undefined },
  {
    message: 'VHOST_USER_SET_DEVICE_STATE_FD',
    hex: '01000000 00000000',
    fds: 1,
    value: { direction: 1, phase: 0 },
  },
  {
    message: 'VHOST_USER_SET_DEVICE_STATE_FD',
    reply: true,
    hex: '0000000000000000',
    fds: 1,
    value: 0n,
  },
  {
    message: 'VHOST_USER_SET_DEVICE_STATE_FD',
    reply: true,
    hex: '0001000000000000',
    value: 0x100n,
  },
  { message: 'VHOST_USER_SET_DEVICE_STATE_FD', reply: true, hex: '0100000000000000', value: 1n },
  {
    message: 'VHOST_USER_GET_SHMEM_CONFIG',
    reply: true,
    hex: '0100000000000000 0000000000000000 0010000000000000',
    value: [0n, 0x1000n],
  },
  {
    message: 'VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG',
    table: BACKEND_REQUESTS,
    hex: '0100000000000000 0010000000000000 0000000000000000',
    fds: 1,
    value: { index: 1, hasFd: true, size: 0x1000n, offset: 0n },
  },
  {
    message: 'VHOST_USER_BACKEND_SHMEM_MAP',
    table: BACKEND_REQUESTS,
    hex: '03 00000000000000 0000000000000000 0010000000000000 0020000000000000 0100000000000000',
    fds: 1,
    value: { shmid: 3, fdOffset: 0n, shmOffset: 0x1000n, length: 0x2000n, flags: 1n },
  },
  {
    message: 'VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP',
    table: BACKEND_REQUESTS,
    reply: true,
    hex: '0100000000000000',
    value: 1n,
  },
];

const FULL = 'ffffffffffffffff';
const invalid: Invalid[] = [
  { message: 'VHOST_USER_GET_FEATURES', hex: '00', code: 'INVALID_SIZE', text: 'expected 0' },
  { message: 'VHOST_USER_SET_FEATURES', hex: '00000000', code: 'INVALID_SIZE', text: 'expected 8' },
  {
    message: 'VHOST_USER_SET_MEM_TABLE',
    hex: '0100000000000000',
    fds: 1,
    code: 'INVALID_SIZE',
    text: '1 regions need 40',
  },
  {
    message: 'VHOST_USER_SET_MEM_TABLE',
    hex: 'ffffffff00000000',
    code: 'INVALID_SIZE',
    text: 'regions need',
  },
  {
    message: 'VHOST_USER_SET_MEM_TABLE',
    hex: `0100000000000000 ${REGION}`,
    fds: 2,
    code: 'INVALID_FDS',
    text: '2 file descriptors, expected 1',
  },
  {
    message: 'VHOST_USER_SET_MEM_TABLE',
    hex: `0100000000000000 00f0ffffffffffff 0010000000000000 0000000000000000 0000000000000000`,
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'guest address',
  },
  {
    message: 'VHOST_USER_SET_MEM_TABLE',
    hex: `0100000000000000 0000000000000000 0010000000000000 00f0ffffffffffff 0000000000000000`,
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'user address',
  },
  {
    message: 'VHOST_USER_ADD_MEM_REG',
    hex: `0000000000000000 0000000000000000 0010000000000000 0000000000000000 ${FULL}`,
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'mmap offset',
  },
  {
    message: 'VHOST_USER_ADD_MEM_REG',
    hex: '00'.repeat(40),
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'size 0',
  },
  {
    message: 'VHOST_USER_ADD_MEM_REG',
    hex: `0000000000000000 ${REGION}`,
    code: 'INVALID_FDS',
    text: '0 file descriptors, expected 1',
  },
  ...(
    [
      ['03000000', 'both foreign and grant'],
      ['09000000', 'without grants'],
      ['08000000', 'without grants'],
      ['00010000', 'without grants'],
      ['04000000', 'unknown Xen'],
    ] as const
  ).map(
    ([flags, text]): Invalid => ({
      message: 'VHOST_USER_ADD_MEM_REG',
      hex: `0000000000000000 ${REGION} ${flags} 05000000`,
      xen: true,
      fds: 1,
      code: 'INVALID_PAYLOAD',
      text,
    }),
  ),
  {
    message: 'VHOST_USER_SET_LOG_BASE',
    hex: '00'.repeat(12),
    code: 'INVALID_SIZE',
    text: 'neither',
  },
  {
    message: 'VHOST_USER_SET_LOG_BASE',
    hex: '00'.repeat(16),
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'size 0',
  },
  {
    message: 'VHOST_USER_SET_LOG_BASE',
    hex: '0010000000000000 0000000000000000',
    code: 'INVALID_FDS',
    text: 'expected 1',
  },
  {
    message: 'VHOST_USER_SET_VRING_ADDR',
    hex: ADDR.replace('01000000 01000000', '01000000 02000000'),
    code: 'INVALID_PAYLOAD',
    text: 'vring flags',
  },
  {
    message: 'VHOST_USER_SET_VRING_KICK',
    hex: '0300000000000000',
    code: 'INVALID_FDS',
    text: 'expected 1',
  },
  {
    message: 'VHOST_USER_SET_VRING_KICK',
    hex: '0301000000000000',
    fds: 1,
    code: 'INVALID_FDS',
    text: 'expected 0',
  },
  {
    message: 'VHOST_USER_SET_VRING_ERR',
    hex: '0302000000000000',
    fds: 1,
    code: 'INVALID_SIZE',
    text: 'reserved bits',
  },
  {
    message: 'VHOST_USER_SET_VRING_ENABLE',
    hex: '00000000 02000000',
    code: 'INVALID_PAYLOAD',
    text: 'not 0 or 1',
  },
  {
    message: 'VHOST_USER_SET_VRING_ENDIAN',
    hex: '00000000 ffffffff',
    code: 'INVALID_PAYLOAD',
    text: 'not 0 or 1',
  },
  {
    message: 'VHOST_USER_VRING_KICK',
    hex: '00000000 01000000',
    code: 'INVALID_PAYLOAD',
    text: 'reserved',
  },
  {
    message: 'VHOST_USER_GET_CONFIG',
    hex: '00000000 02000000 00000000 00',
    code: 'INVALID_SIZE',
    text: 'header says 2 bytes, 1 follow',
  },
  {
    message: 'VHOST_USER_GET_CONFIG',
    hex: '00000000 00000000',
    code: 'INVALID_SIZE',
    text: 'shorter',
  },
  {
    message: 'VHOST_USER_SET_CONFIG',
    hex: '00000000 01000000 04000000 00',
    code: 'INVALID_PAYLOAD',
    text: 'config flags',
  },
  {
    message: 'VHOST_USER_SET_CONFIG',
    hex: '00100000 01000000 00000000 00',
    code: 'INVALID_PAYLOAD',
    text: 'ends at 4097',
  },
  {
    message: 'VHOST_USER_SET_CONFIG',
    hex: 'ffffffff 01000000 00000000 00',
    code: 'INVALID_PAYLOAD',
    text: 'ends at 4294967296',
  },
  {
    message: 'VHOST_USER_SET_INFLIGHT_FD',
    hex: '00'.repeat(24),
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'no queues',
  },
  {
    message: 'VHOST_USER_SET_INFLIGHT_FD',
    hex: '00'.repeat(20),
    fds: 1,
    code: 'INVALID_SIZE',
    text: 'expected 24',
  },
  {
    message: 'VHOST_USER_SET_INFLIGHT_FD',
    hex: `${FULL} ${FULL} 0100 0100 00000000`,
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'mmap offset',
  },
  {
    message: 'VHOST_USER_IOTLB_MSG',
    hex: `${'00'.repeat(24)} 04 02 000000000000`,
    code: 'INVALID_PAYLOAD',
    text: 'permissions 4',
  },
  {
    message: 'VHOST_USER_IOTLB_MSG',
    hex: `${'00'.repeat(24)} 03 05 000000000000`,
    code: 'INVALID_PAYLOAD',
    text: 'type 5',
  },
  {
    message: 'VHOST_USER_IOTLB_MSG',
    hex: `${FULL} ${FULL} ${'00'.repeat(8)} 03 02 000000000000`,
    code: 'INVALID_PAYLOAD',
    text: 'IOVA',
  },
  {
    message: 'VHOST_USER_GET_SHARED_OBJECT',
    hex: '00'.repeat(16),
    code: 'INVALID_PAYLOAD',
    text: 'UUID',
  },
  {
    message: 'VHOST_USER_SET_DEVICE_STATE_FD',
    hex: '02000000 00000000',
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'direction 2',
  },
  {
    message: 'VHOST_USER_SET_DEVICE_STATE_FD',
    hex: '00000000 01000000',
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'phase 1',
  },
  {
    message: 'VHOST_USER_SET_DEVICE_STATE_FD',
    reply: true,
    hex: '0001000000000000',
    fds: 1,
    code: 'INVALID_FDS',
    text: 'expected 0',
  },
  {
    message: 'VHOST_USER_GET_SHMEM_CONFIG',
    reply: true,
    hex: '02000000 00000000 0010000000000000',
    code: 'INVALID_SIZE',
    text: 'header says 2',
  },
  {
    message: 'VHOST_USER_GET_SHMEM_CONFIG',
    reply: true,
    hex: '01000000 00000000 00100000',
    code: 'INVALID_SIZE',
    text: 'whole number',
  },
  {
    message: 'VHOST_USER_SET_OWNER',
    reply: true,
    hex: '',
    code: 'INVALID_SIZE',
    text: 'expected 8',
  },
  {
    message: 'VHOST_USER_BACKEND_SHMEM_MAP',
    table: BACKEND_REQUESTS,
    hex: '00'.repeat(40),
    fds: 1,
    code: 'INVALID_PAYLOAD',
    text: 'length 0',
  },
  {
    message: 'VHOST_USER_BACKEND_SHMEM_UNMAP',
    table: BACKEND_REQUESTS,
    hex: `${'00'.repeat(24)} 0010000000000000 0200000000000000`,
    code: 'INVALID_PAYLOAD',
    text: 'mapping flags',
  },
];

describe('MessageCodec', () => {
  it.each(valid)('$message reads $hex', (test) => {
    expect(decode(test)).toEqual(test.value);
  });

  // Those that decode from a shorter form are not written that way.
  const exact = valid.filter(
    ({ message, hex, reply }) =>
      !(message === 'VHOST_USER_GET_CONFIG' && hex === '') &&
      !(message === 'VHOST_USER_GET_SHMEM_CONFIG' && reply),
  );
  it.each(exact)('$message writes $hex', (test) => {
    const codec = codecOf(test);
    const encode = test.reply
      ? codec.encodeReply(test.message, test.value as never, test.fds ?? 0)
      : codec.encodeRequest(test.message, test.value as never, test.fds ?? 0);
    expect(hexOf(encode.subarray(VHOST_USER_HEADER.SIZE))).toBe(test.hex.replaceAll(' ', ''));
  });

  it.each(invalid)('$message refuses $hex: $text', (test) => {
    let thrown: unknown;
    try {
      decode(test);
    } catch (error) {
      thrown = error;
    }
    expect(VhostUserError.is(thrown, test.code as never)).toBe(true);
    expect((thrown as Error).message).toContain(test.text);
    expect((thrown as Error).message).toContain(test.message);
  });

  it('writes headers as the specification says', () => {
    const codec = new MessageCodec(FRONTEND_REQUESTS);
    expect(hexOf(codec.encodeRequest('VHOST_USER_SET_OWNER', undefined, 0, true))).toBe(
      '030000000900000000000000',
    );
    expect(hexOf(codec.encodeReply('VHOST_USER_GET_QUEUE_NUM', 2n))).toBe(
      '1100000005000000080000000200000000000000',
    );
  });

  it('refuses to send what it would refuse to read', () => {
    const codec = new MessageCodec(FRONTEND_REQUESTS);
    expect(() => codec.encodeRequest('VHOST_USER_SET_VRING_NUM', { index: 0, num: 0 })).toThrow(
      code('INVALID_PAYLOAD'),
    );
    expect(() => codec.encodeRequest('VHOST_USER_SET_VRING_NUM', { index: -1, num: 1 })).toThrow(
      code('INVALID_PAYLOAD'),
    );
    expect(() => codec.encodeRequest('VHOST_USER_SET_FEATURES', 1n << 64n)).toThrow(
      code('INVALID_PAYLOAD'),
    );
    expect(() => codec.encodeRequest('VHOST_USER_SET_MEM_TABLE', [region], 0)).toThrow(
      code('INVALID_FDS'),
    );
    const xen = { ...region, xen: { mmapFlags: 1, domid: 1 } };
    expect(() => codec.encodeRequest('VHOST_USER_SET_MEM_TABLE', [xen], 1)).toThrow(
      code('INVALID_PAYLOAD'),
    );
    const many = Array.from({ length: 33 }, () => region);
    expect(() => codec.encodeRequest('VHOST_USER_SET_MEM_TABLE', many, 33)).toThrow(
      code('INVALID_PAYLOAD'),
    );
  });
});

describe('what depends on others', () => {
  it.each([true, false])(
    'memory regions are read by their size, XEN_MMAP negotiated: %s',
    (xen) => {
      const both = (['', ' 01000000 05000000'] as const).flatMap((fields) => [
        decode({
          message: 'VHOST_USER_SET_MEM_TABLE',
          hex: `0200000000000000 ${REGION}${fields} ${REGION}${fields}`,
          fds: 2,
          ...(xen ? { xen } : {}),
        }),
        [
          decode({
            message: 'VHOST_USER_ADD_MEM_REG',
            hex: `0000000000000000 ${REGION}${fields}`,
            fds: 1,
            ...(xen ? { xen } : {}),
          }),
        ],
      ]);
      const withXen = { ...region, xen: { mmapFlags: 1, domid: 5 } };
      expect(both).toEqual([[region, region], [region], [withXen, withXen], [withXen]]);
    },
  );

  it('what a guest chose for its ring is read, and not sent', () => {
    const codec = new MessageCodec(FRONTEND_REQUESTS);
    for (const num of [0, 3, 32_769]) {
      const payload = { index: 0, num };
      const hex = hexOf(new Uint8Array(Uint32Array.of(0, num).buffer));
      expect(decode({ message: 'VHOST_USER_SET_VRING_NUM', hex })).toEqual(payload);
      if (num === 3) continue;
      expect(() => codec.encodeRequest('VHOST_USER_SET_VRING_NUM', payload)).toThrow(
        code('INVALID_PAYLOAD'),
      );
    }
    for (const [from, to, text] of [
      ['1000000000000000', '1800000000000000', 'descriptor table 0x18'],
      ['2400000000000000', '2200000000000000', 'used ring 0x22'],
      [' 2200000000000000', ' 2100000000000000', 'available ring 0x21'],
    ] as const) {
      const hex = ADDR.replace(from, to);
      const payload = decode({ message: 'VHOST_USER_SET_VRING_ADDR', hex });
      expect(() => codec.encodeRequest('VHOST_USER_SET_VRING_ADDR', payload as never)).toThrow(
        text,
      );
    }
  });

  it('an unknown request is handed over only when its sender waits', () => {
    const codec = new MessageCodec(FRONTEND_REQUESTS);
    const header = (flags: number, size = 5): Uint8Array =>
      VHOST_USER_HEADER.encode({ request: 200, flags, size });
    expect(codec.decodeHeader(header(0x9))).toEqual({ known: false, request: 200, size: 5 });
    for (const bytes of [header(0x1), header(0xd), header(0x9, 1_000_000)]) {
      expect(() => codec.decodeHeader(bytes)).toThrow(code('UNKNOWN_REQUEST'));
    }
    expect(hexOf(codec.encodeUnknownReply(200, 1n))).toBe(
      'c80000000500000008000000' + '0100000000000000',
    );
  });
});

describe('printMessage', () => {
  const print = (test: Case, needReply = false): string => {
    const codec = codecOf(test);
    const payload = bytesOf(test.hex);
    const spec = codec.table[test.message];
    const flags = (test.reply ? 0x5 : 0x1) | (needReply ? 8 : 0);
    const header = VHOST_USER_HEADER.encode({
      request: spec?.id ?? 0,
      flags,
      size: payload.length,
    });
    return printMessage(codec.decode(known(codec, header), payload, test.fds ?? 0), test.fds);
  };

  it('prints every kind of payload on one line', () => {
    expect(print({ message: 'VHOST_USER_SET_OWNER', hex: '' }, true)).toBe(
      'VHOST_USER_SET_OWNER() need_reply',
    );
    expect(print({ message: 'VHOST_USER_SET_VRING_NUM', hex: '00000000 00010000' })).toBe(
      'VHOST_USER_SET_VRING_NUM(index=0, num=256)',
    );
    expect(print({ message: 'VHOST_USER_SET_PROTOCOL_FEATURES', hex: '0902020000000080' })).toBe(
      'VHOST_USER_SET_PROTOCOL_FEATURES(0x8000000000020209 MQ|REPLY_ACK|CONFIG|XEN_MMAP|bit 63)',
    );
    expect(
      print({ message: 'VHOST_USER_SET_MEM_TABLE', hex: `0100000000000000 ${REGION}`, fds: 1 }),
    ).toBe(
      'VHOST_USER_SET_MEM_TABLE([{guestAddr=0x40000000, size=0x10000000, userAddr=0x7f0000000000, mmapOffset=0x1000}]) 1 fd',
    );
    expect(
      print({
        message: 'VHOST_USER_GET_CONFIG',
        hex: '00000000 02000000 00000000 0a0b',
        reply: true,
      }),
    ).toBe('VHOST_USER_GET_CONFIG(offset=0, flags=0, data=<0a0b>) reply');
  });
});
