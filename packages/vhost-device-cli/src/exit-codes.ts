/** It did what was asked for: the text was printed, a signal asked for the end. */
export const EXIT_OK = 0;
/** The host is not as the command line expects, or something failed later. */
export const EXIT_FAILURE = 1;
/** The command line, or the configuration that it names, cannot be meant. */
export const EXIT_USAGE = 2;
