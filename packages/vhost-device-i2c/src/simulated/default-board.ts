/** The board of `--simulate` without a value. */
export const DEFAULT_BOARD = 'ds1338@0x68,24c02@0x50';
