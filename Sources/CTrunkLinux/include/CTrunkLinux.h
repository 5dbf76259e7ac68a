/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright 2026 The Trunkcall Authors */

/* What Swift's Glibc module leaves out: epoll, eventfd, GNU extensions, libresolv's macros. The
   header defines no feature macro, or it would not agree with that module. */
#ifndef C_TRUNK_LINUX_H
#define C_TRUNK_LINUX_H

#ifdef __linux__
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/* accept4, non-blocking and close-on-exec. */
int trunk_accept(int fd);

/* At most 15 bytes. */
void trunk_name_thread(const char *name);

/* Times the calling thread gave up its CPU by itself. */
long trunk_thread_voluntary_switches(void);

/* Freed memory goes back to the system (glibc; elsewhere nothing happens). */
void trunk_trim_memory(void);

/* Up to so many freed bytes stay at a heap's end, and blocks up to half of that come from there;
   the environment's own settings win (glibc; elsewhere nothing happens). */
void trunk_keep_memory(long bytes);

/* Bytes that malloc has handed out, for tests. */
unsigned long trunk_heap_in_use(void);

/* Whether the program is built with the address or thread sanitizer. */
int trunk_is_sanitized(void);

/* Asks DNS for `name` (class IN) with the system's settings, or a given server (an IP literal).
   Returns the answer's length; -1 when it cannot ask, or -2 minus h_errno. Blocks. */
int trunk_dns_query(const char *server, unsigned short port, const char *name, int type,
                    unsigned char *answer, int capacity);
#endif

#endif
