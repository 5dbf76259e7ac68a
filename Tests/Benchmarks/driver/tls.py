# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""What TLS costs, beside plaintext and beside gRPC C++ with TLS.

    python3 Tests/Benchmarks/driver/tls.py [--rounds 5] [--no-build]

The stacks take turns, round by round; the figures are medians. The server has one processor, what
loads it has the other. Processor time is the one figure that a busy machine leaves alone.
"""
import argparse
import json
import os
import platform
import statistics
import subprocess
import sys

import build
from process import LOAD_CPU, SERVER_CPU, Process, raise_descriptor_limit, run, run_json

CERTIFICATES = build.ROOT / ".cache" / "certs"
UNARY, STREAMED, HANDSHAKES, CLIENTS, IDLE = 20_000, 8_000, 1_200, 4, 1_000
samples = {}


class Server(Process):
    """gRPC C++'s does not end when its stdin does."""

    def stop(self, wait=0.3):
        super().stop(wait)


def note(stack, metric, value):
    samples.setdefault((metric, stack), []).append(value)


def stacks():
    """Name, server, client of a mode, environment."""
    swift, cpp = build.swift_program("bench-tls"), build.native("cpp")
    tls = {"BENCH_TLS": str(CERTIFICATES)}

    def own(folder):
        return ([swift, "server", folder],
                lambda mode, port, count: [swift, mode, folder, port, count], {})

    def theirs(environment):
        def client(mode, port, count):
            target = f"127.0.0.1:{port}"
            return [cpp / "client", mode, target,
                    *([100, count] if mode == "unary" else [count, 65_536])]
        return [cpp / "server", 0, "async", 1], client, environment

    return {"own, plaintext": own("-"), "own, TLS": own(CERTIFICATES),
            "C++, plaintext": theirs({}), "C++, TLS": theirs(tls)}


def calls(name, command, client, environment):
    for mode, count in (("unary", UNARY), ("down", STREAMED)):
        with Server(command, SERVER_CPU, env=environment) as server:
            run(client(mode, server.port, count // 10), LOAD_CPU, env=environment)
            before = server.cpu_ns()
            result = run_json(client(mode, server.port, count), LOAD_CPU, env=environment)
            # The clients warm up with a tenth (C++ with 1,000 calls at least).
            done = count + (max(1_000, count // 10) if mode == "unary" else count // 10)
            server_us = (server.cpu_ns() - before) / 1_000 / done
        if "cpu_us" in result:
            client_us, rate = result["cpu_us"], result["per_s"]
        elif mode == "unary":
            client_us, rate = result["cpu_per_100k"] * 10, result["rps"]
        else:
            client_us, rate = result["cpu_s"] * 1e6 / count, result["msg_s"]
        if mode == "unary":
            note(name, "server CPU per unary call, µs", server_us)
            note(name, "client CPU per unary call, µs", client_us)
        else:
            note(name, "64 KiB streaming, MB/s", rate * 65_536 / 1e6)
            note(name, "64 KiB streaming, server CPU per MB, µs", server_us / 0.065536)
            note(name, "64 KiB streaming, client CPU per MB, µs", client_us / 0.065536)


def connections(name, command, environment):
    load = build.native("tls")
    for mode in ("full", "resumed"):
        with Server(command, SERVER_CPU, env=environment) as server:
            run([load, server.port, mode, HANDSHAKES // 10], LOAD_CPU)
            before = server.cpu_ns()
            clients = [subprocess.Popen(
                ["taskset", "-c", str(LOAD_CPU), load, str(server.port), mode,
                 str(HANDSHAKES // CLIENTS)], stdout=subprocess.PIPE) for _ in range(CLIENTS)]
            rate = sum(json.loads(client.communicate()[0])["per_s"] for client in clients)
            cpu = (server.cpu_ns() - before) / 1_000 / (HANDSHAKES + 20 * CLIENTS)
        note(name, f"handshakes a second, {mode}, four clients", rate)
        note(name, f"server CPU per connection, {mode}, µs", cpu)
    with Server(command, SERVER_CPU, env=environment) as server:
        with Process([load, server.port, "idle", IDLE // 10], LOAD_CPU):
            pass
        before = server.memory_kib()
        with Process([load, server.port, "idle", IDLE], LOAD_CPU):
            note(name, "KiB per idle connection", (server.memory_kib() - before) / IDLE)


def versions():
    grpc = run(["pkg-config", "--modversion", "grpc++"]).strip()
    swift = run(["swift", "--version"]).splitlines()[0].split("(")[0].strip()
    return f"{swift}; {run(['openssl', 'version']).split('(')[0].strip()}; gRPC C++ {grpc}; " \
           f"Linux {platform.release().split('-')[0]}, {os.cpu_count()} processors"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-build", action="store_true")
    options = parser.parse_args()
    subprocess.run([build.ROOT / "Scripts" / "certs", CERTIFICATES], check=True)
    if not options.no_build:
        build.base()
        build.cpp()
    build.call(["cc", "-O2", "-o", build.native("tls"), build.HOME / "C" / "tls.c", "-lssl",
                "-lcrypto"])
    raise_descriptor_limit()
    table = stacks()
    for number in range(options.rounds):
        for name, (command, client, environment) in table.items():
            calls(name, command, client, environment)
            if "TLS" in name:
                connections(name, command, environment)
        print(f"tls: round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
    print(versions())
    print(f"| median of {options.rounds} rounds | " + " | ".join(table) + " |")
    print("|---" * (len(table) + 1) + "|")
    for metric in dict.fromkeys(metric for metric, _ in samples):
        cells = [f"{statistics.median(samples[metric, name]):,.1f}"
                 if (metric, name) in samples else "-" for name in table]
        print(f"| {metric} | " + " | ".join(cells) + " |")
    print(json.dumps({f"{metric}: {name}": values for (metric, name), values in samples.items()}),
          file=sys.stderr)


main()
