import { Supervisor } from '@node-vmm/vhost-supervisor';
import { asFd, errorMessage, UnixListener } from '@node-vmm/vmm-sys-util';
import type { DaemonOptions } from './daemon-options.ts';
import { CliError } from './errors.ts';
import { EXIT_FAILURE, EXIT_OK } from './exit-codes.ts';
import { checkOpenFiles } from './open-files.ts';
import { openServiceManager } from './open-service-manager.ts';
import type { Program } from './program.ts';
import type { DaemonSpec } from './run-daemon.ts';
import type { ServiceManager } from './service-manager.ts';
import { type SocketPlace, socketProblem } from './sockets.ts';

/**
 * Holds the sockets while this same program, started once more with the same arguments, serves them.
 *
 * @param spec - what is served there
 * @returns the exit code
 * @throws {CliError} USAGE when a socket is connected already, OPEN_FILES
 */
export async function supervise(
  program: Program,
  options: DaemonOptions,
  { device, queueCount, stateful = false }: Pick<DaemonSpec, 'device' | 'queueCount' | 'stateful'>,
  places: readonly SocketPlace[],
): Promise<number> {
  checkOpenFiles({
    queues: places.map(() => queueCount),
    workers: 0,
    control: false,
    supervises: true,
  });
  let supervisor: Supervisor | undefined;
  const logger = await program.start({ level: options.logLevel }, () => ({
    supervised: { sockets: places.length, pid: supervisor?.pid },
  }));
  const listeners: UnixListener[] = [];
  const manager = await openServiceManager(logger);
  try {
    for (const place of places) {
      try {
        listeners.push(listen(place));
      } catch (error) {
        if (CliError.is(error)) throw error;
        program.complain(socketProblem(error, place.socketPath));
        return EXIT_FAILURE;
      }
    }
    const [script = '', ...args] = process.argv.slice(1);
    supervisor = new Supervisor({
      serve: (prefix) => [
        ...process.execArgv,
        script,
        `--supervised-by=${places.length}:${prefix}`,
        ...args,
      ],
      sockets: listeners.map((listener, index) => ({ name: `${device}${index}`, listener })),
      stateful,
      logger,
    });
    return await watch(program, supervisor, manager);
  } finally {
    manager.close();
    await supervisor?.close();
    for (const listener of listeners) listener.close();
  }
}

/** @returns the exit code */
async function watch(
  program: Program,
  supervisor: Supervisor,
  manager: ServiceManager,
): Promise<number> {
  const { ended } = program.signals;
  try {
    const first = await Promise.race([ended, supervisor.whenReady()]);
    if (first === undefined) {
      manager.ready('serving process serves');
      manager.watch((timeoutMs) => supervisor.responsive(timeoutMs));
      await Promise.race([ended, supervisor.failed]);
    }
    manager.stopping();
    return EXIT_OK;
  } catch (error) {
    // The serving process itself has said what is wrong with it.
    program.complain(errorMessage(error));
    return EXIT_FAILURE;
  }
}

function listen({ socketPath, socketMode, socketGroup, listenFd }: SocketPlace): UnixListener {
  if (listenFd !== undefined) return UnixListener.fromFd(asFd(listenFd));
  if (socketPath === undefined) {
    throw new CliError('USAGE', 'Cannot use --supervised with a socket that is connected already');
  }
  return UnixListener.bind(socketPath, {
    ...(socketMode === undefined ? {} : { mode: socketMode }),
    ...(socketGroup === undefined ? {} : { group: socketGroup }),
  });
}
