/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright 2026 The Trunkcall Authors */

/* What Swift's Glibc module leaves out: epoll, eventfd, accept4, TCP options, libresolv's macros. */
#ifndef C_TRUNK_LINUX_H
#define C_TRUNK_LINUX_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE 1
#endif

#ifdef __linux__
#include <arpa/nameser.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <resolv.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static inline int trunk_accept4(int fd, struct sockaddr *address, socklen_t *length, int flags) {
  extern int accept4(int, struct sockaddr *, socklen_t *, int);
  return accept4(fd, address, length, flags);
}

/* RUSAGE_THREAD is a GNU extension that the Glibc module map hides. */
static inline int trunk_thread_usage(struct rusage *usage) { return getrusage(1, usage); }
#endif

#endif
