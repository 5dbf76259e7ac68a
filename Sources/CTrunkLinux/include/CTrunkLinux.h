/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright 2026 The Trunkcall Authors */

/* Declarations that Swift's Glibc module does not have: epoll, eventfd, GNU extensions,
   libresolv's macros. The header defines no feature macro, which would make it differ from that
   module. */
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

/* Voluntary context switches of the calling thread. */
long trunk_thread_voluntary_switches(void);

/* Returns freed memory to the system (glibc; elsewhere no effect). */
void trunk_trim_memory(void);

/* Keeps up to this many freed bytes at a heap's end, and allocates blocks up to half of that there;
   settings in the environment win (glibc; elsewhere no effect). */
void trunk_keep_memory(long bytes);

/* Bytes allocated by malloc, for tests. */
unsigned long trunk_heap_in_use(void);

/* Whether the program is built with the address or thread sanitizer. */
int trunk_is_sanitized(void);

/* What the kernel knows of a TCP connection's peer: segments sent and not acknowledged, milliseconds since
   the last acknowledgement, the smoothed round trip in microseconds. 0, or -1 if it is no TCP
   socket. */
int trunk_tcp_acknowledgement(int fd, unsigned *unacknowledged, unsigned *milliseconds,
                              unsigned *round_trip);

/* Queries DNS for `name` (class IN) with the system's settings, or a given server (an IP literal).
   Returns the answer's length; -1 if it cannot query, or -2 minus h_errno. Blocks. */
int trunk_dns_query(const char *server, unsigned short port, const char *name, int type,
                    unsigned char *answer, int capacity);
#endif

#endif
