/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright 2026 The Trunkcall Authors */
#ifndef TRUNK_ARENA_H
#define TRUNK_ARENA_H
#include <nghttp2/nghttp2.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* nghttp2's allocator for one session: allocations during its creation are in zeroed pages of its
   own, everything later comes from malloc
   (docs/decisions/0014-sessions-lie-in-pages-of-their-own.md).

     | arena | session, small parts, frame buffer → ……………………… | tables → ………………………… |
     0                                                        5/8                          size

   The frame buffer is filled from its start, a few hundred bytes as a rule: these share the first
   page with the session. The rest of it, and the tables, are touched only when they are used. */
typedef struct {
  char *front, *front_end; /* where the next part goes */
  char *tables, *end;      /* likewise */
  int is_open;             /* the session is being made */
  int is_empty;
} trunk_arena;

enum { TRUNK_ARENA_SMALL = 512, TRUNK_ARENA_LARGE = 8192, TRUNK_ARENA_COLOURS = 8 };

/* `colour` shifts the front part by cache lines: data at the same offset in the pages of all
   sessions would compete for the same lines of the L1 cache. */
static inline trunk_arena *trunk_arena_open(void *pages, size_t size, unsigned colour) {
  trunk_arena *arena = pages;
  char *base = pages;
  arena->front = base + 64 * (1 + colour % TRUNK_ARENA_COLOURS);
  arena->front_end = arena->tables = base + size / 8 * 5;
  arena->end = base + size;
  arena->is_open = arena->is_empty = 1;
  return arena;
}

/* Zeroed; NULL: no room, or the session exists already. */
static inline void *trunk_arena_take(trunk_arena *arena, size_t size) {
  if (!arena->is_open || size > (size_t)(arena->end - (char *)arena)) return NULL;
  size = (size + 15) & ~(size_t)15;
  int is_front = arena->is_empty || size <= TRUNK_ARENA_SMALL || size >= TRUNK_ARENA_LARGE;
  char **next = is_front ? &arena->front : &arena->tables;
  if (size > (size_t)((is_front ? arena->front_end : arena->end) - *next)) return NULL;
  void *part = *next;
  *next += size;
  arena->is_empty = 0;
  return part;
}

static inline int trunk_arena_has(const trunk_arena *arena, const void *part) {
  return (const char *)part >= (const char *)arena && (const char *)part < arena->end;
}

static inline void *trunk_arena_malloc(size_t size, void *user) {
  void *part = trunk_arena_take(user, size);
  return part ? part : malloc(size);
}

static inline void *trunk_arena_calloc(size_t count, size_t size, void *user) {
  size_t all;
  if (__builtin_mul_overflow(count, size, &all)) return NULL;
  void *part = trunk_arena_take(user, all);
  return part ? part : calloc(count, size);
}

/* The pages are returned all at once, after the session was deleted. */
static inline void trunk_arena_free(void *part, void *user) {
  if (!trunk_arena_has(user, part)) free(part);
}

static inline void *trunk_arena_realloc(void *part, size_t size, void *user) {
  trunk_arena *arena = user;
  if (!part) return trunk_arena_malloc(size, user);
  if (!trunk_arena_has(arena, part)) return realloc(part, size);
  void *larger = malloc(size);
  if (!larger) return NULL;
  /* The part's length is not known: the bytes behind it are copied with it, and not used. */
  size_t rest = (size_t)(arena->end - (char *)part);
  return memcpy(larger, part, size < rest ? size : rest);
}

/* All parts of a session made with `mem` are in `pages` or malloc's memory. */
static inline nghttp2_mem trunk_arena_mem(trunk_arena *arena) {
  nghttp2_mem mem = {arena, trunk_arena_malloc, trunk_arena_free, trunk_arena_calloc,
                     trunk_arena_realloc};
  return mem;
}
#endif
