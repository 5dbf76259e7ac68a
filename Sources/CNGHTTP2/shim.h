/* SPDX-License-Identifier: Apache-2.0 */
/* Copyright 2026 The Trunkcall Authors */
#include <dlfcn.h>
#include <nghttp2/nghttp2.h>
#include <stddef.h>
#include <stdint.h>

#include "arena.h"

/* Options that upstream's 1.52 lacks and distributions have backported: looked up at run time, so
   that neither a build nor a program depends on them. Each returns whether the library has it. */

static inline void *trunk_nghttp2_symbol(const char *name) {
  void *program = dlopen(NULL, RTLD_LAZY);
  if (program == NULL) return NULL;
  void *symbol = dlsym(program, name);
  dlclose(program);
  return symbol;
}

static inline int trunk_option_set_stream_reset_rate_limit(nghttp2_option *option, uint64_t burst,
                                                           uint64_t rate) {
  typedef void (*setter)(nghttp2_option *, uint64_t, uint64_t);
  setter set = (setter)trunk_nghttp2_symbol("nghttp2_option_set_stream_reset_rate_limit");
  if (set == NULL) return 0;
  set(option, burst, rate);
  return 1;
}

static inline int trunk_option_set_max_continuations(nghttp2_option *option, size_t count) {
  typedef void (*setter)(nghttp2_option *, size_t);
  setter set = (setter)trunk_nghttp2_symbol("nghttp2_option_set_max_continuations");
  if (set == NULL) return 0;
  set(option, count);
  return 1;
}
