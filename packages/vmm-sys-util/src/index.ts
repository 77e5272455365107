/**
 * Linux system calls for virtual machine monitors: mmap, eventfd, epoll, ioctl, SCM_RIGHTS sockets, struct tables.
 *
 * @packageDocumentation
 */
export {};
