# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""What is measured, in the order of the page."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from . import degraded, page, restart, vanished


@dataclass(frozen=True)
class Part:
    title: str
    text: str
    # From the settings: yields each run.
    runs: Callable
    # From all runs and the settings: data, Markdown, and drawings by file name.
    page: Callable


LOAD = """500 calls a second, begun on a timetable; latency is from the moment a call was due. A back end
answers after 2 ms and an exponentially distributed time of 3 ms on average."""

ALL = [
    Part(
        "Rolling restart",
        """Five back ends are replaced one after the other under 500 calls a second. `consul`: each is
stopped by SIGTERM (it leaves Consul, sends GOAWAY, finishes its calls, exits), then a new one starts, every
other one at the old address. `dns`: TTL 1 s; the new address is in the answer for 2 s before the old back end
is stopped, and the old address until it has exited. `kill -9`: a back end is killed amid calls and started
again at its address.""",
        restart.runs,
        page.restart,
    ),
    Part(
        "A slow back end",
        f"{LOAD} During the fault one of five does so 500 ms later.",
        partial(degraded.runs, "slow"),
        partial(page.degraded, "slow"),
    ),
    Part(
        "A failing back end",
        f"{LOAD} During the fault one of five fails half of its calls at once, with UNAVAILABLE.",
        partial(degraded.runs, "failing"),
        partial(page.degraded, "failing"),
    ),
    Part(
        "A host that vanishes",
        """Five back ends, each on a host of its own (network namespaces at a bridge), 200 calls a second
with a deadline of 5 s. One host's port goes down: no RST and no ICMP comes, and comes up again later.""",
        vanished.runs,
        page.vanished,
    ),
]
