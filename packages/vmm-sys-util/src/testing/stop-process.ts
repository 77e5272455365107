import { readdirSync, readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';

/** proc(5), /proc/PID/task/TID/stat: the state of a thread that a signal has stopped. */
const STOPPED = 'T';
const LOOK_MS = 1;

/**
 * Has a process do nothing until it is sent SIGCONT. The signal stops its threads one after the other, and where
 * processors are busy the last of them long after it was sent: ends when all have stopped.
 *
 * @throws {Error} when there is no such process
 */
export async function stopProcess(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  const tasks = `/proc/${pid}/task`;
  const isStopped = (tid: string): boolean => {
    const stat = readFileSync(`${tasks}/${tid}/stat`, 'utf8');
    return stat.charAt(stat.lastIndexOf(')') + 2) === STOPPED;
  };
  while (!readdirSync(tasks).every(isStopped)) await delay(LOOK_MS);
}
