// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// Reference counts that go from thread to thread: a library to be preloaded into a Swift program.
//
// A reference count is an atomic word. One thread's costs little; one that several threads change is
// fetched from another processor's cache each time, and limits what more loops can bring. This stands
// before the runtime's own functions, counts all changes, and those of an object that another thread
// was the last to change.
//
//   SHARED_COUNTS=FILE LD_PRELOAD=shared.so program
//
// FILE has two 64-bit words for each of 64 threads: changes, and those of another thread's. What the
// runtime does inside of its own library is not seen.
#define _GNU_SOURCE
#include <dlfcn.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#define THREADS 64
#define OBJECTS (1u << 22)

struct counts {
  _Atomic uint64_t changes, of_another;
};

static struct counts nowhere[THREADS], *counts = nowhere;
/* Which thread was the last, by the object's address; a few objects may share a place. */
static _Atomic uint8_t last[OBJECTS];
static _Atomic int threads;
static __thread int own;

static void add(_Atomic uint64_t *count) {
  /* Nobody else writes this thread's. */
  atomic_store_explicit(count, atomic_load_explicit(count, memory_order_relaxed) + 1,
                        memory_order_relaxed);
}

static void note(void *object) {
  /* Null, and what is tagged. */
  if ((intptr_t)object <= 0) return;
  /* Nor what is never freed, as the empty array: its count does not change. */
  if ((uint32_t)((uint64_t *)object)[1] == UINT32_MAX) return;
  if (own == 0) own = atomic_fetch_add(&threads, 1) % THREADS + 1;
  struct counts *mine = &counts[own - 1];
  uint32_t place = (uint32_t)((uintptr_t)object >> 4) * 2654435761u >> 10;
  uint8_t before = atomic_load_explicit(&last[place], memory_order_relaxed);
  add(&mine->changes);
  if (before == own) return;
  atomic_store_explicit(&last[place], (uint8_t)own, memory_order_relaxed);
  if (before != 0) add(&mine->of_another);
}

#define STANDS_BEFORE(name)                                              \
  static void *(*real_##name)(void *);                                   \
  __attribute__((constructor)) static void find_##name(void) {           \
    real_##name = (void *(*)(void *))dlsym(RTLD_NEXT, #name);            \
  }                                                                      \
  void *name(void *object) {                                             \
    note(object);                                                        \
    if (real_##name == NULL) find_##name();                              \
    return real_##name(object);                                          \
  }

#define STANDS_BEFORE_N(name)                                            \
  static void *(*real_##name)(void *, uint32_t);                         \
  __attribute__((constructor)) static void find_##name(void) {           \
    real_##name = (void *(*)(void *, uint32_t))dlsym(RTLD_NEXT, #name);  \
  }                                                                      \
  void *name(void *object, uint32_t n) {                                 \
    note(object);                                                        \
    if (real_##name == NULL) find_##name();                              \
    return real_##name(object, n);                                       \
  }

STANDS_BEFORE(swift_retain)
STANDS_BEFORE(swift_release)
STANDS_BEFORE_N(swift_retain_n)
STANDS_BEFORE_N(swift_release_n)
STANDS_BEFORE(swift_bridgeObjectRetain)
STANDS_BEFORE(swift_bridgeObjectRelease)
STANDS_BEFORE_N(swift_bridgeObjectRetain_n)
STANDS_BEFORE_N(swift_bridgeObjectRelease_n)

__attribute__((constructor)) static void start(void) {
  const char *path = getenv("SHARED_COUNTS");
  int file = path ? open(path, O_RDWR | O_CREAT, 0644) : -1;
  if (file < 0 || ftruncate(file, sizeof(nowhere)) != 0) {
    fprintf(stderr, "shared.c: SHARED_COUNTS names no file that can be written\n");
    _exit(2);
  }
  void *memory = mmap(NULL, sizeof(nowhere), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  if (memory != MAP_FAILED) counts = memory;
  close(file);
}
