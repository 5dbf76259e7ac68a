# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Scripts/bench --recovery: back ends that are replaced, slow, failing or gone."""

import contextlib
import datetime
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import build
import report
from process import Failed

from . import page, parts


@dataclass(frozen=True)
class Settings:
    """Seconds of the runs; of a fault: when it begins, when it ends, and the run's end."""

    restart_seconds: int = 60
    degraded_seconds: tuple = (10, 30, 40)
    vanished_seconds: tuple = (5, 20, 30)
    # Names of parts, ways or policies; empty: all.
    only: tuple = ()
    # What servers and clients print on stderr.
    log: object = subprocess.DEVNULL

    def wants(self, *names):
        return not self.only or any(name in self.only for name in names)


QUICK = {"restart_seconds": 15, "degraded_seconds": (4, 16, 20), "vanished_seconds": (3, 10, 14)}


def main(options):
    build.packages("iproute2")
    build.cpp()
    with contextlib.ExitStack() as stack:
        log = subprocess.DEVNULL
        if options.log:
            log = stack.enter_context(open(options.log, "w", encoding="utf-8"))
        quick = QUICK if options.quick else {}
        settings = Settings(**quick, only=tuple(options.only), log=log)
        return write(options, settings)


def write(options, settings):
    result = {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": report.versions(["grpc-c++"]),
        "command": report.command(),
        "seconds": {
            "restart": settings.restart_seconds,
            "degraded": settings.degraded_seconds,
            "vanished": settings.vanished_seconds,
        },
        "parts": {},
    }
    sections, drawings, failures = [], {}, []
    for part in parts.ALL:
        runs = []
        try:
            for run in part.runs(settings):
                runs.append(run)
        except Failed as error:
            failures.append(f"{part.title}: {error}")
            build.note(failures[-1])
        if runs:
            rows, table, charts = part.page(runs, settings)
            result["parts"][part.title] = rows
            sections += page.section(part, table, charts)
            drawings.update(charts)
    result["failures"] = failures
    text = "\n".join([*page.head(result), *sections, *[f"Failed: {f}" for f in failures]]) + "\n"
    print(text)
    if not options.quick and not options.only or options.output:
        folder = Path(options.output) if options.output else report.FOLDER
        report.write_page(folder, "recovery", result, text)
        for name, drawing in drawings.items():
            (folder / name).write_text(drawing)
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0
