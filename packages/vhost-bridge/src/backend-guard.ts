/** Ours: how long a back-end gets to end by itself, milliseconds. */
export const KILL_DELAY_MS = 2000;

const STEP_MS = 100;

/**
 * What waits beside a back-end for the end of either: of the bridge, however it comes, or of what the
 * bridge started. Then it ends whoever is left of the process group, which is its own, too: by SIGTERM,
 * and by SIGKILL when that takes too long.
 *
 * A shell, because no process can ask the kernel for this on behalf of another (`PR_SET_PDEATHSIG` is
 * for oneself, and for one's parent alone), and a second Node for each back-end would be large. It says
 * `$$` for the group's number: in a subshell that is still the shell's that leads it. Nobody can get that
 * number while this is there.
 */
const GUARD = `
guard() {
  read -r self _ </proc/self/stat
  read -r _
  kill -s TERM -- "-$$"
  steps=${KILL_DELAY_MS / STEP_MS}
  while [ "$steps" -gt 0 ]; do
    left=0
    for stat in /proc/[0-9]*/stat; do
      read -r line <"$stat" || continue
      set -- \${line##*) }
      [ "$3" = "$$" ] && [ "$1" != Z ] && [ "\${line%% *}" != "$self" ] && left=1
    done
    [ "$left" = 0 ] && break
    sleep ${STEP_MS / 1000}
    steps=$((steps - 1))
  done
  kill -s KILL -- "-$$"
}`;

/**
 * For `/bin/sh -c`, with `--socket-path` as `$1`, as the leader of a process group, and with a socket at
 * descriptor 3 that the bridge alone holds the other end of: the guard takes its end for the bridge's,
 * and lets go of its own when nothing is left of the group.
 *
 * @param command - the back-end's, for a shell
 */
export function guarded(command: string): string {
  // Twice into the background: a back-end that waits for all of its children must not wait for this one.
  // What the group is sent is not for the guard, from its first moment on: one that dies of a SIGTERM that its
  // back-end ignores would be taken for the end of both. A back-end that is sent one before `exec` never hears of it.
  // `exec` makes the back-end itself the leader, so that its end is seen, and not a shell's.
  return `${GUARD}
trap '' HUP INT TERM
(guard <&3 >/dev/null 2>&1 3<&- &)
trap - HUP INT TERM
exec 3<&-
exec ${command} --socket-path "$1" --socket-count 1`;
}
