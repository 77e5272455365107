#!/usr/bin/env node
import process from 'node:process';
import { deviceModule, VhostUserDaemon } from '@node-vmm/vhost-user-backend';
import { errorMessage, type Logger } from '@node-vmm/vmm-sys-util';
import { destination, pino } from 'pino';
import { type Args, type ParsedArgs, parseArgs, usageText } from './args.ts';
import type { I2cDeviceOptions } from './device.ts';
import { I2cError } from './errors.ts';
import { findHosts } from './hosts.ts';
import { checkDirectory, socketProblem } from './sockets.ts';

const EXIT_OK = 0;
const EXIT_FAILURE = 1;
const EXIT_USAGE = 2;

function complain(message: string): void {
  process.stderr.write(`vhost-device-i2c: ${message}\n`);
}

function complainUsage(error: I2cError): number {
  complain(error.message);
  process.stderr.write(`\n${usageText()}`);
  return EXIT_USAGE;
}

/** Resolves with the name of the signal that asks the daemon to end. */
function endSignal(): Promise<string> {
  return new Promise((resolve) => {
    for (const signal of ['SIGTERM', 'SIGINT'] as const) process.once(signal, resolve);
  });
}

async function serve(args: Args, options: I2cDeviceOptions, logger: Logger): Promise<number> {
  const ended = endSignal();
  const daemon = new VhostUserDaemon({ logger, workers: args.workers });
  try {
    if (!(await addDevices(daemon, args, options))) return EXIT_FAILURE;
    const reason = await Promise.race([ended, daemon.failure]);
    if (typeof reason === 'string') {
      logger.info({ signal: reason }, 'ending');
      return EXIT_OK;
    }
    // A supervisor can start us anew; half a daemon that looks alive helps nobody.
    complain(reason.message);
    return EXIT_FAILURE;
  } finally {
    await daemon.close();
  }
}

async function addDevices(
  daemon: VhostUserDaemon,
  { socketPath, socketCount }: Args,
  options: I2cDeviceOptions,
): Promise<boolean> {
  const module = deviceModule('./device.js', import.meta.url);
  for (let i = 0; i < socketCount; i++) {
    const path = `${socketPath}${i}`;
    try {
      await daemon.addDevice({ name: `i2c${i}`, module, options, socketPath: path });
    } catch (error) {
      complain(socketProblem(error, path));
      return false;
    }
  }
  return true;
}

async function main(argv: readonly string[]): Promise<number> {
  let parsed: ParsedArgs;
  try {
    parsed = parseArgs(argv);
  } catch (error) {
    if (I2cError.is(error)) return complainUsage(error);
    throw error;
  }
  if ('print' in parsed) {
    process.stdout.write(parsed.print);
    return EXIT_OK;
  }
  const args = parsed.run;
  let options: I2cDeviceOptions;
  try {
    checkDirectory(args.socketPath);
    options = { hosts: findHosts(args) };
  } catch (error) {
    if (I2cError.is(error) && error.code === 'USAGE') return complainUsage(error);
    complain(errorMessage(error));
    return EXIT_FAILURE;
  }
  const logger = pino(
    { level: args.logLevel, base: { pid: process.pid } },
    destination({ dest: process.stderr.fd, sync: true }),
  );
  logger.info({ sockets: args.socketCount, ...options }, 'starting');
  return serve(args, options, logger);
}

process.exitCode = await main(process.argv.slice(2));
