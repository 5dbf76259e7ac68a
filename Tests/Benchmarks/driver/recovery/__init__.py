# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Scripts/bench --recovery: back ends that are replaced, slow, failing or gone."""

import contextlib
import json
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
    """A part that was not asked for, or failed, stays as it was measured before."""
    folder = Path(options.output) if options.output else report.FOLDER
    found, drawings, failures = {}, {}, []
    for part in parts.ALL:
        setting = page.setting(settings)
        try:
            runs = list(part.runs(settings))
        except Failed as error:
            failures.append(f"{part.title}: {error}")
            build.note(failures[-1])
            continue
        if runs:
            rows, table, charts = part.page(runs, settings)
            found[part.title] = {**setting, "rows": rows, "table": table, "charts": list(charts)}
            drawings.update(charts)
    data = {"parts": {**before(folder), **found}}
    text = page.text(parts.ALL, data["parts"])
    print(text)
    if not options.quick or options.output:
        report.write_page(folder, "recovery", data, text)
        for name, drawing in drawings.items():
            (folder / name).write_text(drawing)
    print("\n".join(failures), file=sys.stderr)
    return 1 if failures else 0


def before(folder):
    try:
        return json.loads((folder / "recovery.json").read_text())["parts"]
    except FileNotFoundError:
        return {}
