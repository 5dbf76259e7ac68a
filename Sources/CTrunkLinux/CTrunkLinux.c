/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright 2026 The Trunkcall Authors */
#ifdef __linux__
#define _GNU_SOURCE 1
#include "CTrunkLinux.h"

#include <arpa/inet.h>
#include <limits.h>
#ifdef __GLIBC__
#include <malloc.h>
#endif
#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <resolv.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

int trunk_accept(int fd) { return accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC); }

void trunk_trim_memory(void) {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

unsigned long trunk_heap_in_use(void) {
#ifdef __GLIBC__
  struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
#else
  return 0;
#endif
}

void trunk_keep_memory(long bytes) {
#ifdef __GLIBC__
  static const char *const own[] = {"MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_",
                                    "MALLOC_TOP_PAD_", "GLIBC_TUNABLES"};
  for (size_t i = 0; i < sizeof own / sizeof *own; i++)
    if (getenv(own[i])) return;
  /* Blocks up to half of it come from the heap: 32 MiB is the most that glibc accepts. */
  long mapped = bytes / 2 < (32 << 20) ? bytes / 2 : 32 << 20;
  mallopt(M_TRIM_THRESHOLD, (int)(bytes < INT_MAX ? bytes : INT_MAX));
  mallopt(M_MMAP_THRESHOLD, (int)(mapped > (128 << 10) ? mapped : 128 << 10));
#else
  (void)bytes;
#endif
}

void trunk_name_thread(const char *name) { pthread_setname_np(pthread_self(), name); }

long trunk_thread_voluntary_switches(void) {
  struct rusage usage;
  return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nvcsw : 0;
}

/* Defined if the sanitizer's run-time library is linked. */
extern void __asan_init(void) __attribute__((weak));
extern void __tsan_init(void) __attribute__((weak));

int trunk_is_sanitized(void) { return __asan_init != NULL || __tsan_init != NULL; }

int trunk_tcp_acknowledgement(int fd, unsigned *unacknowledged, unsigned *milliseconds,
                              unsigned *round_trip) {
  struct tcp_info info;
  socklen_t size = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &size) != 0) return -1;
  *unacknowledged = info.tcpi_unacked;
  *milliseconds = info.tcpi_last_ack_recv;
  *round_trip = info.tcpi_rtt;
  return 0;
}

int trunk_dns_query(const char *server, unsigned short port, const char *name, int type,
                    unsigned char *answer, int capacity) {
  struct __res_state state;
  memset(&state, 0, sizeof state);
  if (res_ninit(&state) != 0) return -1;
  struct sockaddr_in6 v6;
  if (server != NULL) {
    state.retrans = 3; /* seconds, doubled once */
    state.retry = 2;
    struct in_addr v4;
    memset(&v6, 0, sizeof v6);
    /* A link-local server: address%zone, by name or number (RFC 4007 section 11). */
    char address[INET6_ADDRSTRLEN];
    size_t length_of_address = strcspn(server, "%");
    if (length_of_address >= sizeof address) {
      res_nclose(&state);
      return -1;
    }
    memcpy(address, server, length_of_address);
    address[length_of_address] = 0;
    const char *zone = server[length_of_address] == '%' ? server + length_of_address + 1 : NULL;
    state.nscount = 1;
    if (zone == NULL && inet_pton(AF_INET, address, &v4) == 1) {
      state.nsaddr_list[0].sin_family = AF_INET;
      state.nsaddr_list[0].sin_addr = v4;
      state.nsaddr_list[0].sin_port = htons(port);
    } else if (inet_pton(AF_INET6, address, &v6.sin6_addr) == 1) {
      v6.sin6_family = AF_INET6;
      if (zone != NULL) {
        char *end;
        unsigned long number = strtoul(zone, &end, 10);
        v6.sin6_scope_id = *zone != 0 && *end == 0 ? (unsigned)number : if_nametoindex(zone);
      }
      v6.sin6_port = htons(port);
      /* glibc keeps IPv6 servers beside the IPv4 list; a zero family there refers to them. */
      if (state._u._ext.nsaddrs[0] == NULL) {
        state._u._ext.nsaddrs[0] = malloc(sizeof v6); /* res_nclose frees it */
        if (state._u._ext.nsaddrs[0] == NULL) {
          res_nclose(&state);
          return -1;
        }
      }
      *state._u._ext.nsaddrs[0] = v6;
      state.nsaddr_list[0].sin_family = 0;
      state._u._ext.nssocks[0] = -1;
      state._u._ext.nscount = 1;
    } else {
      res_nclose(&state);
      return -1;
    }
  }
  int length = server != NULL ? res_nquery(&state, name, 1, type, answer, capacity)
                              : res_nsearch(&state, name, 1, type, answer, capacity);
  if (length > capacity) length = capacity;
  int code = length >= 0 ? length : -2 - state.res_h_errno;
  res_nclose(&state);
  return code;
}
#endif
