/**
 * Says in words why a path cannot be used, and what to do about it.
 *
 * @param code - of the error that using it threw: `ENOENT`
 * @param option - which named it: `--state-dir`
 * @returns undefined for an error that is not about the path
 */
export function pathProblem(code: string | undefined, option: string): string | undefined {
  switch (code) {
    case 'ENOENT':
      return `it does not exist; choose another ${option}`;
    case 'EISDIR':
      return `it is a directory; choose another ${option}`;
    case 'ENOTDIR':
      return `what should be a directory on its way is none; choose another ${option}`;
    case 'EACCES':
    case 'EPERM':
      return `permission denied; run as a user who may, or choose another ${option}`;
    case 'EROFS':
      return `its file system is read-only; choose another ${option}`;
    case 'ENAMETOOLONG':
      return `it is longer than Linux allows; choose another ${option}`;
    case 'ELOOP':
      return `its symbolic links lead in a circle; choose another ${option}`;
    default:
      return undefined;
  }
}
