/** Ours: it did what was asked for: the text was printed, a signal asked for the end. */
export const EXIT_OK = 0;
/** Ours: the host is not as the command line expects, or something failed later. */
export const EXIT_FAILURE = 1;
/** Ours: the command line, or the configuration that it names, cannot be meant. */
export const EXIT_USAGE = 2;
