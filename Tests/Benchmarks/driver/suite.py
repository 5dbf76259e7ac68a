# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Runs the scenarios and hands what they found to the report."""

import sys
import time

import build
import report
import scenarios
import stacks as every
from process import Failed, raise_descriptor_limit


def main(options):
    build.packages("nghttp2-client", "nghttp2-server", "strace", "util-linux")
    stacks = [every.OWN, "ngt"]
    if options.peers:
        if "cpp" not in options.without:
            build.cpp()
            stacks.append("grpc-c++")
        if "grpc-swift-2" not in options.without:
            build.grpc_swift()
            stacks.append("grpc-swift-2")
    raise_descriptor_limit()
    chosen = [s for s in scenarios.ALL if not options.only or s.__name__ in options.only]
    if unknown := set(options.only) - {s.__name__ for s in scenarios.ALL}:
        raise Failed(
            f"no scenario {', '.join(unknown)}; there are "
            + ", ".join(s.__name__ for s in scenarios.ALL)
        )
    run = scenarios.Run(stacks, options.rounds, options.quick)
    for stack in stacks:
        build.note(f"checking every reply of {stack}")
        every.check(stack)
    failures = []
    for scenario in chosen:
        start = time.monotonic()
        try:
            scenario(run)
        except Failed as error:
            failures.append(f"{scenario.__name__}: {error}")
            build.note(failures[-1])
        build.note(f"{scenario.__name__}: {time.monotonic() - start:.0f} s")
    result = report.collect(run, stacks, failures)
    print(report.markdown(result))
    if not options.quick:
        report.write(result, options.output)
    if failures:
        print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0
