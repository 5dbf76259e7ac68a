# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Servers and clients of every stack, and the neutral load."""

import json
import re
import socket
import tempfile

import build
from process import LOAD_CPU, SERVER_CPU, Failed, Process, run, run_json

OWN = "trunkcall"
# 4 MiB as a whole message, so that default limits let it pass.
LARGE = (4 << 20) - 20
REPLY = 19  # bytes of DATA: prefix and HelloReply("Hello, world")


def server(stack, cpu=SERVER_CPU, env=None, **flags):
    if stack == OWN:
        words = [word for name, value in flags.items() for word in (f"--{name}", value)]
        return Process([build.swift_program("bench-server"), *words], cpu, env=env)
    if stack == "ngt":
        return Process([build.native("ngt"), 0], cpu)
    if stack == "grpc-c++":
        return Process([build.native("cpp/server"), 0, "async", 1], cpu)
    if stack == "grpc-swift-2":
        return Process([build.grpc_swift_program("peer-server"), 0], cpu)
    raise Failed(f"no server {stack}")


def client(stack, mode, port, a, b, cpu=LOAD_CPU):
    """unary: a callers, b calls; echo: a bytes, b calls; down: a messages of b bytes;
    pingpong: a turns of b bytes."""
    if stack == OWN:
        flags = {
            "unary": ("callers", "calls"),
            "echo": ("size", "calls"),
            "down": ("count", "size"),
            "pingpong": ("calls", "size"),
        }[mode]
        return run_json(
            [
                build.swift_program("bench-client"),
                mode,
                port,
                f"--{flags[0]}",
                a,
                f"--{flags[1]}",
                b,
            ],
            cpu,
        )
    if stack == "grpc-swift-2":
        return run_json([build.grpc_swift_program("peer-client"), mode, port, a, b], cpu)
    result = run_json([build.native("cpp/client"), mode, f"127.0.0.1:{port}", a, b], cpu)
    if result["bad"]:
        raise Failed(f"grpc-c++: {result['bad']} wrong replies")
    if "cpu_per_100k" in result:
        result["cpu_us_per_call"] = result["cpu_per_100k"] * 10
    if "p50_us" in result:
        result["latency_us"] = {
            name: result[f"{name}_us"]
            for name in ("p50", "p90", "p99", "p99.9")
            if f"{name}_us" in result
        }
    for name in ("rps", "rt_s", "msg_s"):
        if name in result:
            result["per_s"] = result[name]
    if "mb_s" in result:
        result["mb_per_s"] = result["mb_s"]
    return result


def load(*arguments, cpu=LOAD_CPU):
    return run_json([build.native("load"), *arguments], cpu)


def check(stack):
    """Every method, byte by byte."""
    with server(stack) as peer:
        load("lockstep", peer.port, 20, 10)
        load("messages", peer.port, 50, 1024, 3)
        load("messages", peer.port, 3, 65536, 1)
        load("pingpong", peer.port, 50, 32)
        load("echo", peer.port, 2, LARGE)


def h2load(port, calls, connections, streams, cpu=LOAD_CPU, path="/helloworld.Greeter/SayHello"):
    with tempfile.NamedTemporaryFile() as body:
        body.write(b"\0\0\0\0\x07\x0a\x05world")
        body.flush()
        text = run(
            [
                "h2load",
                "-n",
                calls,
                "-c",
                connections,
                "-m",
                streams,
                "-d",
                body.name,
                "-H",
                "content-type: application/grpc",
                "-H",
                "te: trailers",
                f"http://127.0.0.1:{port}{path}",
            ],
            cpu,
        )
    found = re.search(r"(\d+) succeeded, (\d+) failed", text)
    data = re.search(r"\((\d+)\) data", text)
    if not found or int(found.group(1)) != calls:
        raise Failed(f"h2load: not all of {calls} calls succeeded:\n{text[-600:]}")
    if int(data.group(1)) != calls * REPLY:
        raise Failed(f"h2load: {data.group(1)} bytes of data for {calls} replies of {REPLY}")
    return float(re.search(r"finished in [^,]*, ([\d.]+) req/s", text).group(1))


def nghttpd(folder):
    # It wants to be told a port, and says nothing when it listens.
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = Process(
        [
            "sh",
            "-c",
            f"nghttpd --no-tls -n 1 -d {folder} -a 127.0.0.1 {port} & pid=$!; "
            "sleep 0.3; echo listening $pid; cat; kill $pid",
        ],
        SERVER_CPU,
    )
    process.pid, process.port = process.port, port
    return process


def pace(peer, rate, seconds, connections, large_per_mille=0):
    """Calls on a timetable."""
    return told(peer, "pace", rate, seconds, connections, 0, large_per_mille)


def rotate(peer, calls, connections, idle=0):
    """One call after the other, each on the next connection."""
    return told(peer, "rotate", calls, connections, idle)


def told(peer, *arguments):
    """Runs `load` up to its measured part, and adds the server's processor time for that."""
    mode, *rest = arguments
    with Process([build.native("load"), mode, peer.port, *rest, "wait"], LOAD_CPU) as process:
        before = peer.cpu_ns()
        process.say("go\n")
        result = json.loads(process.line(r"^\{.*\}", timeout=300).group(0))
        result["server_cpu_us_per_call"] = (peer.cpu_ns() - before) / result["calls"] / 1e3
    return result
