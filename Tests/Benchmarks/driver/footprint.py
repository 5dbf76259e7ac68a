# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""What it takes to build a greeter, how large it is, and how long it takes to start."""

import os
import resource
import shutil
import statistics
import tempfile
import time
from pathlib import Path

import build
from process import LOAD_CPU, Process


def cpu_of(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    build.call(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stripped_mb(program, folder):
    target = Path(folder) / "stripped"
    build.call(["strip", "-o", target, program])
    return os.path.getsize(target) / 1e6


def start_ms(program):
    """From exec to `listening`, the median of eleven."""

    def once():
        start = time.monotonic()
        with Process(
            [program, "--no-register", "--host", "127.0.0.1", "--port", "0"],
            LOAD_CPU,
            ready=r"^listening",
        ) as process:
            took = time.monotonic() - start
            process.process.terminate()
        return took * 1e3

    return statistics.median(once() for _ in range(11))


def measure():
    """Figures as they come. Everything is built from nothing, in a folder that goes away."""
    with tempfile.TemporaryDirectory(prefix="trunkcall-footprint-") as folder:

        def swift(name, *flags):
            scratch = Path(folder) / name
            used = cpu_of(
                ["swift", "build", "--package-path", build.ROOT, "--scratch-path", scratch, *flags]
            )
            return used, scratch

        greeter = ("-c", "release", "--product", "greeter-server")
        no_tls = ("--disable-default-traits",)
        build.note("footprint: debug build of the package")
        used, scratch = swift("debug")
        yield "debug build of the package, CPU s", used
        shutil.rmtree(scratch)
        build.note("footprint: release builds of greeter-server")
        used, scratch = swift("release", *greeter)
        program = scratch / "release" / "greeter-server"
        yield "release build of greeter-server, CPU s", used
        yield "greeter-server, stripped, MB", stripped_mb(program, folder)
        yield "greeter-server, start to listening, ms", start_ms(program)
        shutil.rmtree(scratch)
        _, scratch = swift("bare", *greeter, *no_tls)
        yield "the same without traits (no TLS), MB", stripped_mb(
            scratch / "release" / "greeter-server", folder
        )
        shutil.rmtree(scratch)
        _, scratch = swift("static", *greeter, *no_tls, "--static-swift-stdlib")
        program = scratch / "release" / "greeter-server"
        yield "the same with a static Swift runtime, MB", stripped_mb(program, folder)
        yield "the same, start to listening, ms", start_ms(program)


def main():
    print("| greeter-server | |\n|---|---:|")
    for name, value in measure():
        print(f"| {name} | {value:.1f} |", flush=True)
    return 0
