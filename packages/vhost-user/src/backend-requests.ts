import type { MessageTable } from './message-table.ts';

/**
 * vhost-user: requests of the back-end on its own channel, "Back-end message types" of the
 * specification.
 */
export const BACKEND_REQUESTS = {
  VHOST_USER_BACKEND_IOTLB_MSG: { id: 1, payload: 'iotlb', fds: 'none' },
  VHOST_USER_BACKEND_CONFIG_CHANGE_MSG: {
    id: 2,
    payload: 'none',
    fds: 'none',
    feature: 'VHOST_USER_PROTOCOL_F_CONFIG',
  },
  VHOST_USER_BACKEND_VRING_HOST_NOTIFIER_MSG: {
    id: 3,
    payload: 'vringArea',
    fds: 'byPayload',
    feature: 'VHOST_USER_PROTOCOL_F_HOST_NOTIFIER',
  },
  VHOST_USER_BACKEND_VRING_CALL: {
    id: 4,
    payload: 'vringIndex',
    fds: 'none',
    feature: 'VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS',
  },
  VHOST_USER_BACKEND_VRING_ERR: {
    id: 5,
    payload: 'vringIndex',
    fds: 'none',
    feature: 'VHOST_USER_PROTOCOL_F_INBAND_NOTIFICATIONS',
  },
  VHOST_USER_BACKEND_SHARED_OBJECT_ADD: {
    id: 6,
    payload: 'sharedObject',
    fds: 'none',
    feature: 'VHOST_USER_PROTOCOL_F_SHARED_OBJECT',
  },
  VHOST_USER_BACKEND_SHARED_OBJECT_REMOVE: {
    id: 7,
    payload: 'sharedObject',
    fds: 'none',
    feature: 'VHOST_USER_PROTOCOL_F_SHARED_OBJECT',
  },
  VHOST_USER_BACKEND_SHARED_OBJECT_LOOKUP: {
    id: 8,
    payload: 'sharedObject',
    fds: 'none',
    reply: { payload: ['u64'], fds: 'optional' },
    feature: 'VHOST_USER_PROTOCOL_F_SHARED_OBJECT',
  },
  VHOST_USER_BACKEND_SHMEM_MAP: {
    id: 9,
    payload: 'mmap',
    fds: 'one',
    feature: 'VHOST_USER_PROTOCOL_F_SHMEM',
  },
  VHOST_USER_BACKEND_SHMEM_UNMAP: {
    id: 10,
    payload: 'mmap',
    fds: 'none',
    feature: 'VHOST_USER_PROTOCOL_F_SHMEM',
  },
} as const satisfies MessageTable;
