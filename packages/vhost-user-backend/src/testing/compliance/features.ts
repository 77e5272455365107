import { equal, ok } from 'node:assert/strict';
import {
  featureMask,
  hasProtocolFeature,
  protocolFeatureNames,
  VHOST_F_LOG_ALL,
  VHOST_USER_F_PROTOCOL_FEATURES,
} from '@node-vmm/vhost-user';
import {
  featureWord,
  VIRTIO_F_ACCESS_PLATFORM,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_NOTIF_CONFIG_DATA,
  VIRTIO_F_NOTIFICATION_DATA,
  VIRTIO_F_ORDER_PLATFORM,
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_RING_RESET,
  VIRTIO_F_VERSION_1,
  VIRTIO_RING_F_EVENT_IDX,
  VIRTIO_RING_F_INDIRECT_DESC,
} from '@node-vmm/virtio-bindings';
import { connect, type DeviceCase, probe, serves } from './subject.ts';

/** What a device may offer besides the features of its type. SR_IOV is none of a device in a process. */
const COMMON =
  featureWord(
    VIRTIO_F_VERSION_1,
    VIRTIO_RING_F_INDIRECT_DESC,
    VIRTIO_RING_F_EVENT_IDX,
    VIRTIO_F_ACCESS_PLATFORM,
    VIRTIO_F_RING_PACKED,
    VIRTIO_F_IN_ORDER,
    VIRTIO_F_ORDER_PLATFORM,
    VIRTIO_F_NOTIFICATION_DATA,
    VIRTIO_F_NOTIF_CONFIG_DATA,
    VIRTIO_F_RING_RESET,
  ) |
  featureMask(VHOST_F_LOG_ALL) |
  featureMask(VHOST_USER_F_PROTOCOL_FEATURES);

/**
 * What makes another ring of it, or other memory. QEMU 8.2 and later take for the guest whatever a
 * back-end offers of these, also where their own properties say no.
 */
const NOT_BY_DEFAULT = featureWord(
  VIRTIO_F_RING_PACKED,
  VIRTIO_F_IN_ORDER,
  VIRTIO_F_ACCESS_PLATFORM,
);

const hex = (word: bigint): string => `0x${word.toString(16)}`;

/** Features and what a front-end makes of them. */
export const featureCases: readonly DeviceCase[] = [
  {
    section: 'VIRTIO 1.3 §6',
    name: 'VERSION_1 is offered',
    async run(subject) {
      await using bench = await connect(subject);
      const offered = await bench.frontend.ask('VHOST_USER_GET_FEATURES', undefined);
      ok((offered & featureWord(VIRTIO_F_VERSION_1)) !== 0n, `offered: ${hex(offered)}`);
    },
  },
  {
    section: 'VIRTIO 1.3 §2.2',
    name: 'no feature is offered that neither VIRTIO nor the type of device defines',
    async run(subject) {
      await using bench = await connect(subject);
      const offered = await bench.frontend.ask('VHOST_USER_GET_FEATURES', undefined);
      equal(hex(offered & ~(COMMON | subject.features)), '0x0');
    },
  },
  {
    section: 'VIRTIO 1.3 §6',
    name: 'RING_PACKED, IN_ORDER and ACCESS_PLATFORM are not offered by default: QEMU takes what is offered',
    async run(subject) {
      await using bench = await connect(subject);
      const offered = await bench.frontend.ask('VHOST_USER_GET_FEATURES', undefined);
      equal(hex(offered & NOT_BY_DEFAULT & ~subject.features), '0x0');
    },
  },
  {
    section: 'VIRTIO 1.3 §2.2.2',
    name: 'the offer is the same for every front-end and at any time',
    async run(subject) {
      await using first = await connect(subject);
      const offered = await first.frontend.ask('VHOST_USER_GET_FEATURES', undefined);
      await probe(first, subject);
      equal(await first.frontend.ask('VHOST_USER_GET_FEATURES', undefined), offered);
      await first.close();
      await using second = await connect(subject);
      equal(await second.frontend.ask('VHOST_USER_GET_FEATURES', undefined), offered);
    },
  },
  {
    section: 'VIRTIO 1.3 §2.2.2',
    name: 'a driver that takes no feature but VERSION_1 has its requests returned',
    async run(subject) {
      const features =
        featureWord(VIRTIO_F_VERSION_1) | featureMask(VHOST_USER_F_PROTOCOL_FEATURES);
      await using bench = await connect(subject, { features });
      const { queue, readable, writable } = subject.probe;
      // Not looked at: without a feature of its type an answer may be another.
      await bench.queue(queue).request(readable, writable);
    },
  },
  {
    section: 'VIRTIO 1.3 §2.2.2',
    name: 'a feature that was not offered is refused, or ignored',
    async run(subject) {
      await using bench = await connect(subject);
      const offered = await bench.frontend.ask('VHOST_USER_GET_FEATURES', undefined);
      const extra = offered | featureMask(49);
      await bench.frontend.tell('VHOST_USER_SET_FEATURES', extra).catch(() => 1);
      await bench.close();
      await serves(subject);
    },
  },
  {
    section: 'Protocol features',
    name: 'no protocol feature is offered that has no name',
    async run(subject) {
      await using bench = await connect(subject);
      const offered = await bench.frontend.ask('VHOST_USER_GET_PROTOCOL_FEATURES', undefined);
      const nameless = protocolFeatureNames(offered).filter((name) => name.startsWith('bit '));
      equal(nameless.join(), '');
    },
  },
  {
    section: 'Multiple queue support',
    name: 'GET_QUEUE_NUM says how many queues there are',
    async run(subject) {
      await using bench = await connect(subject);
      const { frontend, protocolFeatures } = bench;
      ok(hasProtocolFeature(protocolFeatures, 'VHOST_USER_PROTOCOL_F_MQ'), 'MQ is not offered');
      equal(await frontend.ask('VHOST_USER_GET_QUEUE_NUM', undefined), BigInt(subject.queues));
    },
  },
  {
    section: 'VIRTIO 1.3 §3.2',
    name: 'a request is answered, by descriptors and by an indirect table',
    async run(subject) {
      await using bench = await connect(subject);
      await probe(bench, subject);
      if ((bench.features & featureWord(VIRTIO_RING_F_INDIRECT_DESC)) === 0n) return;
      const { queue, readable, writable, check } = subject.probe;
      const answer = await bench.queue(queue).request(readable, writable, { indirect: true });
      check?.(answer);
    },
  },
];
