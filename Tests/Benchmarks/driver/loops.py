# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Scenarios about event loops: what goes from thread to thread, and whether to look before sleeping.

The server itself counts (`server.statistics.loops`): wake-ups by other threads, jobs from them, and
locks of inboxes that were held when they were wanted. strace counts the same from outside: this
server's only `write` is the one to a loop's eventfd. Reference counts, the other words that two loops
might write by turns, are counted by C/shared.c in a run of its own. Handlers are told to stay on their
loops: on a busy machine, or under strace, one can be taken for a hog, and moving it is another question.
"""

import json
import struct
import tempfile
from pathlib import Path

import build
from process import LOAD_CPU, SERVER_CPU, Failed, Process, run_json, system_calls
from stacks import OWN, h2load, server, told

COUNTERS = ("wakeups", "remote_jobs", "contended_locks")


def figures(peer):
    """What each loop has done so far."""
    peer.say("\n")
    return json.loads(peer.line(r"^\[.*\]").group(0))


def counted(peer, calls, work):
    """Runs `work`, which makes so many calls: its result, the server's figures for a call, and the
    part of the calls that the busiest loop had."""
    before, cpu = figures(peer), peer.cpu_ns()
    result = work()
    cpu, after = peer.cpu_ns() - cpu, figures(peer)
    started = [b["calls"] - a["calls"] for a, b in zip(before, after)]
    if sum(started) != calls:
        raise Failed(f"the loops count {started} calls, {calls} were made")
    metrics = {
        f"{name}_per_call": sum(b[name] - a[name] for a, b in zip(before, after)) / calls
        for name in COUNTERS
    }
    return result, {"cpu_us_per_call": cpu / calls / 1e3, **metrics}, max(started) / calls


def traced(peer, calls, work):
    """System calls that go from thread to thread, by strace."""
    counts = system_calls(peer.pid, work)
    if sum(counts.values()) < 1:
        raise Failed("strace saw no system call")
    return {
        "eventfd_writes_per_call": counts.get("write", 0) / calls,
        "futexes_per_call": counts.get("futex", 0) / calls,
    }


def shared_references(count, calls):
    """Changes of reference counts, and those of objects that another thread had changed last."""
    with tempfile.NamedTemporaryFile() as file:

        def so_far():
            words = struct.unpack("128Q", Path(file.name).read_bytes())
            return sum(words[::2]), sum(words[1::2])

        env = {"LD_PRELOAD": str(build.native("shared")), "SHARED_COUNTS": file.name}
        with server(OWN, cpu=None, env=env, loops=count, dispatch="loop") as peer:
            h2load(peer.port, max(256, calls // 10), 8, 32, cpu=None)
            before = so_far()
            h2load(peer.port, calls, 8, 32, cpu=None)
            after = so_far()
    if after[0] - before[0] < calls:
        raise Failed("no reference counts were seen: is the Swift runtime linked statically?")
    return {
        "refcounts_per_call": (after[0] - before[0]) / calls,
        "shared_refcounts_per_call": (after[1] - before[1]) / calls,
    }


def loops(r):
    """Own server with one and two loops, h2load 8 x 32, nothing pinned"""
    calls, few, held = r.size(200_000, 2_000), r.size(20_000, 1_000), r.size(100, 20)
    for count in r.turns([1, 2]):
        name = "1 loop" if count == 1 else f"{count} loops"
        with server(OWN, cpu=None, loops=count, dispatch="loop") as peer:
            with Process([build.native("load"), "hold", peer.port, held, 0]):
                spread = [loop["connections"] for loop in figures(peer)]
            if len(spread) != count or sum(spread) != held:
                raise Failed(f"the loops count {spread} connections, {held} are open")
            h2load(peer.port, max(256, calls // 10), 8, 32, cpu=None)
            rate, metrics, busiest = counted(
                peer, calls, lambda: h2load(peer.port, calls, 8, 32, cpu=None)
            )
            metrics |= traced(peer, few, lambda: h2load(peer.port, few, 8, 32, cpu=None))
        metrics |= shared_references(count, few)
        if metrics["shared_refcounts_per_call"] > 0.1:
            raise Failed(f"loops count references to something they share: {metrics}")
        r.add(
            "loops",
            name,
            OWN,
            least_connections=min(spread),
            most_connections=max(spread),
            busiest_percent=busiest * 100,
            per_s=rate,
            **metrics,
        )


def downstream(r):
    """A handler calls a greeter behind it (ngt), over a channel on the server's loops, which has a
    connection on each of them"""
    many, turns = r.size(50_000, 1_000), r.size(5_000, 400)
    for count in r.turns([1, 2]):
        name = "1 loop" if count == 1 else f"{count} loops"
        with (
            server("ngt", cpu=None) as behind,
            server(
                OWN,
                cpu=None,
                env={"TRUNKCALL_LOOPS": str(count)},
                loops=0,
                downstream=behind.port,
                dispatch="loop",
            ) as front,
        ):
            # Calls from every loop, so that each has its connection to the greeter behind.
            rotated(front, 50 * count, count)
            # One caller on each loop, by turns: the loop sleeps when a reply comes.
            _, metrics, _ = counted(
                front, turns + count, lambda: rotated(front, turns, count)
            )
            metrics |= traced(front, turns + count, lambda: rotated(front, turns, count))
            r.add("downstream", f"{name}, 1 caller", OWN, **metrics)
            rate, metrics, _ = counted(
                front, many, lambda: h2load(front.port, many, 8, 32, cpu=None)
            )
            metrics |= traced(front, many, lambda: h2load(front.port, many, 8, 32, cpu=None))
            r.add("downstream", f"{name}, 8 x 32 calls", OWN, per_s=rate, **metrics)
            if max(metrics["eventfd_writes_per_call"], metrics["remote_jobs_per_call"]) > 0.01:
                raise Failed(f"a downstream call on its own loop leaves it: {metrics}")


def rotated(peer, calls, connections):
    """One call after the other; each connection has been used once before."""
    return told(peer, "rotate", calls, connections, 0)


def busy_poll(r):
    """One caller, with a look for work before a loop sleeps (`busy_poll`) on both ends"""
    calls, warmup = r.size(20_000, 500), r.size(1_000, 100)
    places = (("both ends on one CPU", SERVER_CPU), ("a CPU each", LOAD_CPU))
    for place, cpu in r.turns(places):
        for microseconds in (0, 20, 50):
            with server(OWN, busy_poll=microseconds) as peer:
                before = peer.cpu_ns()
                words = ["unary", peer.port, "--callers", 1, "--calls", calls]
                words += ["--warmup", warmup, "--busy_poll", microseconds]
                result = run_json([build.swift_program("bench-client"), *words], cpu)
                used = peer.cpu_ns() - before
            if result["calls"] != calls:
                raise Failed(f"{result['calls']} calls of {calls}")
            r.add(
                "busy_poll",
                f"{place}, {microseconds} µs",
                OWN,
                p50_us=result["latency_us"]["p50"],
                p99_us=result["latency_us"]["p99"],
                server_cpu_us_per_call=used / (calls + warmup) / 1e3,
                client_cpu_us_per_call=result["cpu_us_per_call"],
            )
