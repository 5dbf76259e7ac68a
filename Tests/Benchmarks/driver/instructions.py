# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""User instructions of a call, counted by callgrind.

They do not depend on the machine's load. What does change them is how many frames arrive in one read,
so the peer is in lockstep: it sends a fixed number at once, waits for every answer, and sends again.
Each figure is the difference of a long and a short run, so starting up is not in it, and the least
of two: on a machine that is busy, a handler under valgrind can be taken for one that holds its loop.
"""

import json
import os
import re
import subprocess
import tempfile
import threading

import build
import callgrind_profile
from process import Failed, Process, run, run_json

COMMITTED = build.HOME / "instructions.json"
ALLOWED = 1.05
# Hash seeds would move the figures a little.
ENVIRONMENT = {"SWIFT_DETERMINISTIC_HASHING": "1"}
BATCH = 32


def callgrind(out):
    return ["valgrind", "--tool=callgrind", f"--callgrind-out-file={out}"]


def summary(out):
    with open(out, encoding="utf-8") as file:
        for line in file:
            if found := re.match(r"(?:summary|totals): (\d+)", line):
                return int(found.group(1))
    raise Failed("callgrind wrote no summary")


def server_run(out, arguments, *flags):
    with Process([*callgrind(out), build.bare("bench-server"), *flags], env=ENVIRONMENT) as server:
        mode, *rest = arguments
        run([build.native("load"), mode, server.port, *rest])


def client_run(out, calls):
    with Process([build.native("ngt"), 0, BATCH]) as server:
        run_json(
            [
                *callgrind(out),
                build.bare("bench-client"),
                "unary",
                server.port,
                "--callers",
                BATCH,
                "--calls",
                calls,
                "--warmup",
                BATCH,
            ],
            env=ENVIRONMENT,
        )


def figures():
    """Name: (how to run with a size, units of work of a size, short, long)."""
    return {
        "server_unary": (
            lambda out, n: server_run(out, ["lockstep", BATCH, n], "--dispatch", "loop"),
            lambda n: BATCH * n,
            50,
            350,
        ),
        "client_unary": (lambda out, n: client_run(out, BATCH * n), lambda n: BATCH * n, 50, 350),
        "server_streaming_1KiB_message": (
            # So many messages in a run take longer than a millisecond here: without being told, the
            # server moves the handler to the pool.
            lambda out, n: server_run(out, ["messages", 48, 1024, n], "--dispatch", "loop"),
            lambda n: 48 * n,
            50,
            450,
        ),
        "server_pingpong_message": (
            lambda out, n: server_run(out, ["pingpong", n, 32], "--dispatch", "loop"),
            lambda n: n,
            1_000,
            6_000,
        ),
    }


def count():
    results, errors = {}, []

    def one(name, work, units, short, long):
        try:
            counted = []
            for _ in range(2):
                with tempfile.TemporaryDirectory() as folder:
                    outs = [os.path.join(folder, str(size)) for size in (short, long)]
                    for out, size in zip(outs, (short, long)):
                        work(out, size)
                    counted.append(summary(outs[1]) - summary(outs[0]))
            results[name] = round(min(counted) / (units(long) - units(short)))
        except Failed as error:
            errors.append(f"{name}: {error}")

    threads = [threading.Thread(target=one, args=(name, *rest)) for name, rest in figures().items()]
    # Two at a time: more gain nothing on two cores.
    for pair in (threads[:2], threads[2:]):
        for thread in pair:
            thread.start()
        for thread in pair:
            thread.join()
    if errors:
        raise Failed("; ".join(errors))
    return {name: results[name] for name in figures()}


def show(name):
    """Where the instructions of one figure go."""
    if name not in figures():
        raise Failed(f"no figure {name}; there are {', '.join(figures())}")
    prepare()
    work, units, short, long = figures()[name]
    with tempfile.TemporaryDirectory() as folder:
        outs = [os.path.join(folder, str(size)) for size in (short, long)]
        for out, size in zip(outs, (short, long)):
            work(out, size)
        callgrind_profile.show(*outs, units(long) - units(short))
    return 0


def toolchain():
    swift = subprocess.run(["swift", "--version"], capture_output=True, text=True, check=True)
    version = re.search(r"Swift version (\S+)", swift.stdout + swift.stderr).group(1)
    nghttp2 = build.call(["pkg-config", "--modversion", "libnghttp2"]).strip()
    return {"swift": version, "nghttp2": nghttp2, "machine": os.uname().machine}


def prepare():
    build.packages("valgrind", "binutils")
    for name in ("bench-server", "bench-client"):
        build.bare(name)


def compare(update):
    prepare()
    measured = {"toolchain": toolchain(), "instructions": count()}
    committed = json.loads(COMMITTED.read_text()) if COMMITTED.exists() else None
    if update:
        COMMITTED.write_text(json.dumps(measured, indent=2) + "\n")
    old = (committed or measured)["instructions"]
    same = committed is None or committed["toolchain"] == measured["toolchain"]
    grown = []
    print(f"{'instructions':32} {'committed':>10} {'now':>10}   change")
    for name, value in measured["instructions"].items():
        before = old.get(name)
        change = f"{(value / before - 1) * 100:+.1f} %" if before else "new"
        print(f"{name:32} {before or '-':>10} {value:>10}   {change}")
        if before is None or value > before * ALLOWED:
            grown.append(name)
    if update:
        return 0
    if committed is None:
        print(
            f"no committed figures: Scripts/bench --instructions --update writes {COMMITTED.name}"
        )
        return 1
    if not same:
        print(
            f"not compared: the committed figures are of {committed['toolchain']}, "
            f"this is {measured['toolchain']}"
        )
        return 0
    if grown:
        print(
            f"more than {(ALLOWED - 1) * 100:.0f} % above the committed figure: {', '.join(grown)}"
        )
        return 1
    return 0
