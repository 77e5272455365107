import { deepEqual, equal, ok } from 'node:assert/strict';
import {
  FRONTEND_REQUESTS,
  hasProtocolFeature,
  VHOST_USER_CONFIG,
  VHOST_USER_PROTOCOL_FEATURES,
} from '@node-vmm/vhost-user';
import { exchangeRaw } from '../raw-messages.ts';
import { alive, connect, type DeviceCase, leavesNothing, serves } from './subject.ts';

/** Most configuration space that a message carries. */
const MAX_CONFIG = 256;

function configWindow(offset: number, length: number): Uint8Array {
  const bytes = new Uint8Array(VHOST_USER_CONFIG.SIZE + length);
  VHOST_USER_CONFIG.write(new DataView(bytes.buffer), 0, { offset, size: length, flags: 0 });
  return bytes;
}

/** A window without bytes, or the end of the connection. */
function isReadRefusal(answer: Uint8Array | undefined): boolean {
  return answer === undefined || answer.length <= VHOST_USER_CONFIG.SIZE;
}

/** An acknowledgement that is not 0, or the end of the connection. */
function isWriteRefusal(answer: Uint8Array | undefined): boolean {
  return answer === undefined || answer.some((byte) => byte !== 0);
}

function offersConfig(protocolFeatures: bigint): boolean {
  return hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_CONFIG');
}

/** The device's configuration space. */
export const configSpaceCases: readonly DeviceCase[] = [
  {
    section: 'Virtio device config space',
    name: 'CONFIG is offered by a device that has configuration space',
    async run(subject) {
      await using bench = await connect(subject);
      if (subject.configSize > 0) ok(offersConfig(bench.protocolFeatures), 'CONFIG is not offered');
    },
  },
  {
    section: 'VIRTIO 1.3 §2.5',
    name: 'is read as a whole and in parts, which agree',
    async run(subject) {
      await using bench = await connect(subject);
      const { configSize } = subject;
      if (configSize === 0) return;
      const whole = await bench.readConfig(0, configSize);
      equal(whole.length, configSize);
      for (let offset = 0; offset < configSize; offset++) {
        deepEqual(await bench.readConfig(offset, 1), whole.slice(offset, offset + 1));
      }
    },
  },
  {
    section: 'Virtio device config space',
    name: 'is not read or written beyond its end',
    run: (subject) =>
      leavesNothing(subject, async () => {
        const { configSize } = subject;
        for (const [offset, length] of [
          [configSize, 1],
          [0, configSize + 1],
          [MAX_CONFIG - 1, 1],
          [0x7fff_ffff, 4],
          [0xffff_fffc, 4],
          [0xffff_ffff, 1],
        ] as const) {
          if (offset + length <= configSize || length > MAX_CONFIG) continue;
          const payload = configWindow(offset, length);
          for (const [name, isRefusal] of [
            ['VHOST_USER_GET_CONFIG', isReadRefusal],
            ['VHOST_USER_SET_CONFIG', isWriteRefusal],
          ] as const) {
            await using bench = await connect(subject);
            const { id: request } = FRONTEND_REQUESTS[name];
            const answer = await exchangeRaw(bench.frontend, { request, payload, needReply: true });
            ok(isRefusal(answer), `${name} of ${length} bytes at ${offset} of ${configSize}`);
            await alive(bench);
          }
        }
      }),
  },
  {
    section: 'Virtio device config space',
    name: 'is not there for a front-end that has not negotiated CONFIG',
    async run(subject) {
      await using offer = await connect(subject);
      const without =
        offer.protocolFeatures &
        ~(1n << BigInt(VHOST_USER_PROTOCOL_FEATURES.VHOST_USER_PROTOCOL_F_CONFIG));
      await offer.close();
      await using bench = await connect(subject, { protocolFeatures: without });
      await bench.writeConfig(0, new Uint8Array(1)).catch(() => 1);
      await bench.close();
      await serves(subject);
    },
  },
];
