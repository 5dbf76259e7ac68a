# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""What it takes to build a greeter, how large it is, and how long it takes to start.

Processor seconds (user and system, of the compiler and everything it starts) are what counts: they
hardly depend on what else the machine does. Everything is built from nothing, in a folder that goes
away; what SwiftPM has fetched before is taken from its cache.
"""

import datetime
import os
import resource
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path

import build
import report
from process import LOAD_CPU, Process

LIMITS = {
    "debug build of the package, CPU s": 120,
    "greeter-server, stripped, dynamic, no TLS, MB": 5,
    "greeter-server, stripped, static Swift runtime, no TLS, MB": 16,
}
GREETER = ("-c", "release", "--product", "greeter-server")
NO_TLS = ("--disable-default-traits",)
STATIC = ("--static-swift-stdlib",)
# The manifest asks for its programs to be linked small; another package's are linked as here.
LINKED_SMALL = ",\n    linkerSettings: small)"


def cpu_of(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    build.call(command)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def stripped_mb(program, folder):
    target = Path(folder) / "stripped"
    build.call(["strip", "-o", target, program])
    return os.path.getsize(target) / 1e6


def start_ms(program, *flags):
    """From exec to `listening`, the median of eleven."""

    def once():
        start = time.monotonic()
        with Process([program, *flags], LOAD_CPU, ready=r"^listening") as process:
            took = time.monotonic() - start
            process.process.terminate()
        return took * 1e3

    return statistics.median(once() for _ in range(11))


OWN_FLAGS = ("--no-register", "--host", "127.0.0.1", "--port", "0")


def built(folder, name, package, *flags):
    """Processor time of a clean build, and where it is."""
    scratch = Path(folder) / name
    command = ["swift", "build", "--package-path", package, "--scratch-path", scratch, *flags]
    return cpu_of(command), scratch


def linked_plainly(folder):
    """A copy of the package without the linker's flags."""
    copy = Path(folder) / "plain"
    shutil.copytree(build.ROOT, copy, ignore=shutil.ignore_patterns(".build*", ".git"))
    manifest = copy / "Package.swift"
    text = manifest.read_text()
    if LINKED_SMALL not in text:
        sys.exit("bench: Package.swift no longer says how programs are linked")
    manifest.write_text(text.replace(LINKED_SMALL, ")"))
    return copy


def measure(folder, peers):
    """(figure, value) as they come."""
    build.note("debug build of the package")
    used, scratch = built(folder, "debug", build.ROOT)
    yield "debug build of the package, CPU s", used
    shutil.rmtree(scratch)
    plain = linked_plainly(folder)
    for name, package, words in (
        ("dynamic", build.ROOT, ()),
        ("dynamic, no TLS", build.ROOT, NO_TLS),
        ("static Swift runtime, no TLS", build.ROOT, (*NO_TLS, *STATIC)),
        ("dynamic, no TLS, linked plainly", plain, NO_TLS),
        ("static Swift runtime, no TLS, linked plainly", plain, (*NO_TLS, *STATIC)),
    ):
        build.note(f"release build of greeter-server: {name}")
        used, scratch = built(folder, "release", package, *GREETER, *words)
        program = scratch / "release" / "greeter-server"
        yield f"release build of greeter-server, {name}, CPU s", used
        yield f"greeter-server, stripped, {name}, MB", stripped_mb(program, folder)
        yield f"greeter-server, {name}, start to listening, ms", start_ms(program, *OWN_FLAGS)
        shutil.rmtree(scratch)
    if not peers:
        return
    for name, words in (("dynamic", ()), ("static Swift runtime", STATIC)):
        build.note(f"release build of grpc-swift-2's greeter: {name}; a quarter of an hour")
        used, scratch = built(
            folder, "peer", build.GRPC_SWIFT, "-c", "release", "--product", "peer-server", *words
        )
        program = scratch / "release" / "peer-server"
        yield f"release build of grpc-swift-2's greeter, {name}, CPU s", used
        yield f"grpc-swift-2's greeter, stripped, {name}, MB", stripped_mb(program, folder)
        yield f"grpc-swift-2's greeter, {name}, start to listening, ms", start_ms(program, "0")
        shutil.rmtree(scratch)


def main(peers, output):
    build.packages("libnghttp2-dev", "zlib1g-dev", "libssl-dev", "pkg-config", "binutils")
    rows = []
    with tempfile.TemporaryDirectory(prefix="trunkcall-footprint-") as folder:
        for name, value in measure(folder, peers):
            row = {"figure": name, "value": round(value, 2), "limit": LIMITS.get(name)}
            rows.append(row)
            print(line(row), flush=True)
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": report.versions(["grpc-swift-2"] if peers else []),
        "command": report.command(),
        "rows": rows,
    }
    report.write_page(output, "footprint", result, markdown(result))
    exceeded = [r["figure"] for r in rows if r["limit"] and r["value"] > r["limit"]]
    for figure in exceeded:
        build.note(f"above its limit: {figure}")
    return 1 if exceeded else 0


def line(row):
    limit = f"{row['limit']:g}" if row["limit"] else ""
    return f"| {row['figure']} | {row['value']:.1f} | {limit} |"


def markdown(result):
    at = {row["figure"]: row["value"] for row in result["rows"]}
    lines = [
        "# Footprint",
        "",
        "Written by `Scripts/bench --footprint`. Clean builds; CPU s is processor time, user and "
        "system, dependencies included. Programs are stripped; start is from exec to `listening`.",
        "Linked plainly is without the flags of "
        "[decision 15](../decisions/0015-programs-are-linked-small.md), as the programs of other "
        "packages are, grpc-swift-2's among them.",
        "",
        report.setting(result),
        "",
        "| | | at most |",
        "|---|---:|---:|",
        *map(line, result["rows"]),
        "",
    ]
    own = at.get("release build of greeter-server, dynamic, CPU s")
    other = at.get("release build of grpc-swift-2's greeter, dynamic, CPU s")
    if own and other:
        lines += [f"The release build takes {own / other:.2f} x grpc-swift-2's.", ""]
    return "\n".join(lines)
