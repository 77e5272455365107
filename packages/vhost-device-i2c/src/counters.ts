/** What one device counted since it was made; read by metrics, never reset. */
export interface I2cCounters {
  /** Requests answered, whatever the answer. */
  requests: number;
  /** Of these, answered VIRTIO_I2C_MSG_ERR or not answerable. */
  errors: number;
  /** Requests that broke the format of VIRTIO 1.3 §5.16.6. */
  malformed: number;
  /** Requests for a 7-bit address that the guest may not reach. */
  denied: number;
  /** Requests for a 10-bit address that the guest may not reach. */
  tenBit: number;
  /** Requests of more than 8192 bytes. */
  oversized: number;
  /** Requests failed untried because of their group: an earlier one failed, or it may not be executed. */
  skipped: number;
  /** Groups of more than 42 requests, not executed. */
  longGroups: number;
  /** Groups for chips on several adapters, not executed. */
  mixedGroups: number;
  /** Combined transfers made on a bus. */
  transfers: number;
  /** Of these, failed. */
  failedTransfers: number;
  /** Groups that ended incomplete because the driver did not send their rest in time. */
  splitGroups: number;
}

/** Counters at zero. */
export function newCounters(): I2cCounters {
  return {
    requests: 0,
    errors: 0,
    malformed: 0,
    denied: 0,
    tenBit: 0,
    oversized: 0,
    skipped: 0,
    longGroups: 0,
    mixedGroups: 0,
    transfers: 0,
    failedTransfers: 0,
    splitGroups: 0,
  };
}
