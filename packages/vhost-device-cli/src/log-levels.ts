/** As pino names them. */
export const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const;
/** The least severe lines that are written. */
export type LogLevel = (typeof LOG_LEVELS)[number];
