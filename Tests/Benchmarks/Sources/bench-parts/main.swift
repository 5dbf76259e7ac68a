// SPDX-License-Identifier: Apache-2.0
// Copyright 2026 The Trunkcall Authors
//
// What the parts cost that a call is made of, and what an update of the server list costs.
// Prints one line of JSON; every figure is nanoseconds of one thread, the least of five rounds.
import BenchSupport
import Glibc

var figures: [(String, Double)] = []
figures += codecFigures()
figures += pickFigures()
figures += updateFigures()
say("{\(figures.map { "\"\($0.0)\": \(decimal($0.1))" }.joined(separator: ", "))}")
