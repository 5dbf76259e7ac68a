# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""A client that calls on a timetable, and what it found."""

import json
import time
from dataclasses import dataclass, field

import build
from process import Failed, Process

OK = 0
CODES = {1: "CANCELLED", 4: "DEADLINE_EXCEEDED", 8: "RESOURCE_EXHAUSTED", 14: "UNAVAILABLE"}


@dataclass
class Outcome:
    """Of all calls of one run: (due, latency, code), in seconds, and the text of some failures."""

    calls: list
    texts: list = field(default_factory=list)

    def between(self, begin, end):
        return Outcome([call for call in self.calls if begin <= call[0] < end])

    @property
    def failed(self):
        return [call for call in self.calls if call[2] != OK]

    def codes(self):
        counts = {}
        for _, _, code in self.failed:
            name = CODES.get(code, str(code))
            counts[name] = counts.get(name, 0) + 1
        return counts

    def percentile(self, share):
        """Milliseconds of the calls that succeeded, by the nearest rank; None without one."""
        values = sorted(latency for _, latency, code in self.calls if code == OK)
        if not values:
            return None
        rank = max(1, -(-len(values) * share // 100))
        return values[min(int(rank), len(values)) - 1] * 1e3

    def success(self):
        """Percent; None without calls."""
        return 100 * (1 - len(self.failed) / len(self.calls)) if self.calls else None

    def by_second(self, seconds):
        """Of the calls that were due in each second."""
        buckets = [[] for _ in range(seconds)]
        for call in self.calls:
            buckets[min(int(call[0]), seconds - 1)].append(call)
        return [Outcome(bucket) for bucket in buckets]


def command(target, policy, rate, seconds, timeout):
    config = json.dumps(policy.config)
    if policy.stack == "grpc-c++":
        return [build.native("cpp/pace"), target, rate, seconds, timeout, config]
    flags = {"rate": rate, "seconds": seconds, "timeout": timeout, "config": config}
    words = [
        str(word) for pair in {**flags, **policy.flags}.items() for word in (f"--{pair[0]}", pair[1])
    ]
    return [build.swift_program("bench-recovery"), "load", target, *words]


def run(target, policy, rate, seconds, events=(), timeout=0, prefix=(), log=None):
    """Runs a client; events are (second, action), and run beside it."""
    words = [*prefix, *command(target, policy, rate, seconds, timeout)]
    with Process(words, errors=log) as client:
        client.say("go\n")
        start = time.monotonic()
        for second, action in sorted(events, key=lambda event: event[0]):
            time.sleep(max(0, start + second - time.monotonic()))
            action()
        calls, texts = [], []
        for line in client.process.stdout:
            if line == "end\n":
                return Outcome(calls, texts)
            due, latency, code, text = line.rstrip("\n").split(" ", 3)
            calls.append((int(due) / 1e6, int(latency) / 1e6, int(code)))
            if text:
                texts.append(f"{int(due) / 1e6:.2f} s: {text}")
    raise Failed(f"{policy.name}: the client ended without its figures")
