# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""The host of one of five back ends vanishes without a packet, and comes back."""

from dataclasses import replace

from build import note

from . import load, policies
from .fleet import Fleet
from .hosts import Hosts

COUNT = 5
RATE = 200
DEADLINE = 5
PORT = 50_051


def with_flags(policy, name, **flags):
    return replace(policy, name=name, flags=flags)


def all_policies(delay=0.1):
    plain = policies.plain("round_robin")
    off = {"acknowledgement": 0, "liveness": 0}
    return [
        plain,
        with_flags(plain, "round_robin, acknowledgementTimeout off", acknowledgement=0),
        with_flags(plain, "round_robin, keepalive alone", keepalive=10, keepalive_timeout=1000, **off),
        with_flags(plain, "round_robin, keepalive", keepalive=10, keepalive_timeout=1000),
        policies.plain("least_request_experimental"),
        policies.plain("peak_ewma"),
        policies.outlier_detection(),
        policies.retried(),
        policies.Policy(
            "round_robin, hedging after 100 ms", policies.hedged(policies.ROUND_ROBIN, delay)
        ),
        policies.CPP,
    ]


def runs(settings):
    begin, end, seconds = settings.vanished_seconds
    for policy in all_policies():
        if not settings.wants("vanished", policy.name):
            continue
        with Hosts(COUNT) as hosts, Fleet() as fleet:
            for number in range(COUNT):
                fleet.start(hosts.address(number), PORT, hosts.on(number), settings.log)
            events = [(begin, lambda: hosts.vanish(0)), (end, lambda: hosts.come_back(0))]
            outcome = load.run(
                fleet.target, policy, RATE, seconds, events, DEADLINE, hosts.on_client, settings.log
            )
        note(
            f"vanished, {policy.name}: {len(outcome.failed)} failed {outcome.codes()}, of calls "
            f"due for {failing_seconds(outcome, begin):.2f} s; worst call {worst(outcome):.2f} s"
        )
        yield policy, outcome


def failing_seconds(outcome, begin):
    """From the moment that the host vanished to when the last call that failed was due."""
    return max([call[0] - begin for call in outcome.failed], default=0.0)


def worst(outcome):
    return max(call[1] for call in outcome.calls)
