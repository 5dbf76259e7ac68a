# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""What is measured. A scenario takes a Run and fills it with samples; it never prints.

A sample is (scenario, variant, stack, metric, value). Within a scenario the stacks take turns,
round by round, so that a busy minute of the machine hits them all.
"""

import tempfile
import time
from pathlib import Path

import build
from loops import downstream, loops, busy_poll
from process import (
    LOAD_CPU,
    SERVER_CPU,
    Failed,
    Process,
    raise_descriptor_limit,
    run_json,
    system_calls,
)
from stacks import LARGE, OWN, REPLY, client, h2load, load, nghttpd, pace, rotate, server


class Run:
    """The stacks that take part, how much is done, and what came out."""

    def __init__(self, stacks, rounds, quick):
        self.stacks = stacks
        self.rounds = 1 if quick else rounds
        self.quick = quick
        self.samples = []

    def size(self, full, quick):
        return quick if self.quick else full

    def add(self, scenario, variant, stack, **metrics):
        for metric, value in metrics.items():
            self.samples.append(
                {
                    "scenario": scenario,
                    "variant": str(variant),
                    "stack": stack,
                    "metric": metric,
                    "value": value,
                }
            )

    def turns(self, stacks):
        for _ in range(self.rounds):
            yield from stacks

    def median(self, scenario, stack, metric):
        values = sorted(
            s["value"]
            for s in self.samples
            if (s["scenario"], s["stack"], s["metric"]) == (scenario, stack, metric)
        )
        return values[len(values) // 2] if values else None


def server_unary(r):
    """Server, unary, 8 connections x 32 streams, one loop; load by h2load, protobuf POST"""
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "reply").write_bytes(b"x" * REPLY)
        for stack in r.turns([*r.stacks, "nghttpd"]):
            calls = r.size({"grpc-c++": 60_000, "grpc-swift-2": 15_000}.get(stack, 200_000), 2_000)
            if stack == "nghttpd":
                peer = nghttpd(folder)
            else:
                peer = server(stack)
            path = "/reply" if stack == "nghttpd" else "/helloworld.Greeter/SayHello"
            with peer:
                h2load(peer.port, max(256, calls // 10), 8, 32, path=path)
                before = peer.cpu_ns()
                rate = h2load(peer.port, calls, 8, 32, path=path)
                used = peer.cpu_ns() - before
            r.add("server_unary", "", stack, cpu_us_per_call=used / calls / 1e3, per_s=rate)


def client_unary(r):
    """Client, 100 callers on one connection, against ngt"""
    for stack in r.turns([s for s in r.stacks if s != "ngt"]):
        calls = r.size({"grpc-c++": 100_000, "grpc-swift-2": 20_000}.get(stack, 300_000), 2_000)
        with server("ngt") as peer:
            result = client(stack, "unary", peer.port, 100, calls)
        r.add(
            "client_unary",
            "",
            stack,
            cpu_us_per_call=result["cpu_us_per_call"],
            per_s=result["per_s"],
        )


def same_stack(r):
    """One caller, both ends of the same stack on one CPU"""
    for stack in r.turns([s for s in r.stacks if s != "ngt"]):
        calls = r.size(2_000 if stack == "grpc-swift-2" else 20_000, 200)
        with server(stack) as peer:
            result = client(stack, "unary", peer.port, 1, calls, cpu=SERVER_CPU)
            r.add("same_stack", "unary", stack, **latency(result))
            turns = client(stack, "pingpong", peer.port, calls, 32, cpu=SERVER_CPU)
            r.add("same_stack", "pingpong 32 B", stack, **latency(turns))


def latency(result):
    return {f"{name}_us": value for name, value in result["latency_us"].items() if name != "max"}


def streaming(r):
    """Server streaming, neutral client: 1 KiB and 64 KiB messages"""
    for stack in r.turns(r.stacks):
        for size, full in ((1024, 100_000), (65_536, 10_000)):
            count = r.size(full // 10 if stack == "grpc-swift-2" else full, 500)
            with server(stack) as peer:
                load("messages", peer.port, count // 10, size, 1)
                before = peer.cpu_ns()
                result = load("messages", peer.port, count, size, 1)
                used = peer.cpu_ns() - before
            r.add(
                "streaming",
                f"{size >> 10} KiB",
                stack,
                cpu_us_per_message=used / count / 1e3,
                mb_per_s=result["mb_per_s"],
            )


def large(r):
    """4 MiB unary echo, both ends of the same stack, a CPU each; 64 KiB messages likewise"""
    for stack in r.turns([s for s in r.stacks if s != "ngt"]):
        with server(stack) as peer:
            result = client(stack, "echo", peer.port, LARGE, r.size(40, 3))
            r.add("large", "echo 4 MiB", stack, mb_per_s=result["mb_per_s"])
            result = client(stack, "down", peer.port, r.size(4_000, 100), 65_536)
            r.add("large", "streaming 64 KiB", stack, mb_per_s=result["mb_per_s"])


def memory(r):
    """Server's memory for idle connections and idle streams"""
    limit = raise_descriptor_limit() - 100
    connections = r.size(min(10_000, limit), 300)
    for stack in r.stacks:
        count = min(connections, 2_000) if stack == "grpc-swift-2" else connections
        flags = {"connections": connections + 100} if stack == OWN else {}
        with server(stack, **flags) as peer:
            load("lockstep", peer.port, 50, 20)
            before = peer.memory_kib()
            with Process([build.native("load"), "hold", peer.port, count, 0], LOAD_CPU):
                held = peer.memory_kib()
            after = settled(peer)
            # What is left but taken again is no leak: so a second time.
            with Process([build.native("load"), "hold", peer.port, count, 0], LOAD_CPU):
                again = peer.memory_kib()
            r.add(
                "memory",
                f"{count} connections",
                stack,
                kib_each=(held - before) / count,
                kib_left_each=(after - before) / count,
                kib_again_each=(again - before) / count,
            )
        streams = r.size(100, 10)
        with server(stack) as peer:
            load("lockstep", peer.port, 50, 20)
            with Process([build.native("load"), "hold", peer.port, 100, 0], LOAD_CPU):
                before = peer.memory_kib()
            with Process([build.native("load"), "hold", peer.port, 100, streams], LOAD_CPU):
                held = peer.memory_kib()
            r.add(
                "memory",
                f"100 x {streams} streams",
                stack,
                kib_each=(held - before) / 100 / streams,
            )


def settled(peer):
    """The least memory of the next seconds: to close thousands of connections takes a while."""
    least = peer.memory_kib()
    for _ in range(10):
        time.sleep(0.3)
        least = min(least, peer.memory_kib())
    return least


def growth(r):
    """Cost of a call as the work grows: connections, open streams, methods, endpoints"""
    # One call at a time: whatever arrives together on one connection alone would look cheap.
    calls = r.size(5_000, 1_000)
    steps = r.size([1, 10, 100, 1_000], [1, 100])
    for _ in range(r.rounds):
        for count in steps:
            with server(OWN) as peer:
                result = rotate(peer, calls, count)
            r.add(
                "growth",
                f"{count} connections",
                OWN,
                cpu_us_per_call=result["server_cpu_us_per_call"],
            )
        for count in steps:
            with server(OWN, streams=2_000) as peer:
                result = rotate(peer, calls, 1, idle=count)
            r.add(
                "growth",
                f"{count} open streams",
                OWN,
                cpu_us_per_call=result["server_cpu_us_per_call"],
            )
        for count in steps:
            with server(OWN, methods=count) as peer:
                result = rotate(peer, calls, 1)
            r.add(
                "growth", f"{count} methods", OWN, cpu_us_per_call=result["server_cpu_us_per_call"]
            )
        for count in steps:
            with server(OWN, host="0.0.0.0", connections=2_000) as peer:
                result = run_json(
                    [
                        build.swift_program("bench-client"),
                        "unary",
                        peer.port,
                        "--callers",
                        1,
                        "--calls",
                        calls,
                        "--endpoints",
                        count,
                        "--warmup",
                        2_000,
                    ],
                    LOAD_CPU,
                )
            r.add(
                "growth",
                f"{count} endpoints (client)",
                OWN,
                cpu_us_per_call=result["cpu_us_per_call"],
            )


def parts(r):
    """Codec, pick, and update of the server list"""
    for _ in range(r.rounds):
        result = run_json([build.swift_program("bench-parts")], SERVER_CPU)
        for name, value in result.items():
            r.add("parts", name, OWN, ns=value)


def in_process(r):
    """The call layer alone: client and server half in one process, without a wire"""
    for _ in range(r.rounds):
        for callers in (1, 100):
            for variant, flags in (("", []), (", with a deadline", ["--timeout", 60])):
                result = run_json(
                    [
                        build.swift_program("bench-client"),
                        "inprocess",
                        0,
                        "--callers",
                        callers,
                        "--calls",
                        r.size(200_000, 5_000),
                        *flags,
                    ],
                    SERVER_CPU,
                )
                r.add(
                    "in_process",
                    f"{callers} callers{variant}",
                    OWN,
                    cpu_us_per_call=result["cpu_us_per_call"],
                    p50_us=result["latency_us"]["p50"],
                    p99_us=result["latency_us"]["p99"],
                )


def syscalls(r):
    """System calls of the server for a call, one caller"""
    for stack in r.stacks:
        calls = r.size(2_000, 200)
        with server(stack) as peer:
            load("lockstep", peer.port, 1, 100)
            counts = system_calls(peer.pid, lambda: load("lockstep", peer.port, 1, calls))
        if sum(counts.values()) < calls:
            raise Failed(f"strace saw {sum(counts.values())} system calls for {calls} calls")
        r.add(
            "syscalls",
            "1 caller",
            stack,
            all_per_call=sum(counts.values()) / calls,
            futex_per_call=counts.get("futex", 0) / calls,
        )


def tail(r):
    """Latency on a timetable, 20 connections, half the rate at which the slowest stack is saturated;
    1 % of 1 MiB mixed in"""
    slowest = min(saturation(r, stack) for stack in r.stacks)
    rate = min(20_000, int(slowest / 2))
    seconds = r.size(6, 1)
    for stack in r.turns(r.stacks):
        slow = min(rate, 1_000)
        for name, now, per_mille in (
            ("small alone", rate, 0),
            ("small alone", slow, 0),
            ("small beside 1 % of 1 MiB", slow, 10),
        ):
            with server(stack) as peer:
                result = pace(peer, now, seconds, 20, large_per_mille=per_mille)
            late = result["late_us"]["p99"]
            r.add("tail", f"{name}, {now}/s", stack, **latency(result), late_p99_us=late)


def saturation(r, stack):
    """Unary calls a second that one core can answer."""
    if known := r.median("server_unary", stack, "per_s"):
        return known
    with server(stack) as peer:
        h2load(peer.port, 1_000, 8, 32)
        return h2load(peer.port, r.size(20_000, 2_000), 8, 32)


ALL = [
    server_unary,
    client_unary,
    same_stack,
    streaming,
    large,
    memory,
    growth,
    parts,
    in_process,
    syscalls,
    tail,
    loops,
    downstream,
    busy_poll,
]
