# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""All back ends are replaced, one after the other, under load: no call may fail."""

import signal
import time

from build import note

from . import load, policies
from .fleet import COUNT, Agent, Fleet, free_port
from .names import Names

RATE = 500


def runs(settings):
    """One for each way to find the back ends and each policy."""
    ways = [("consul", consul, policy) for policy in policies.ALL_ALIVE]
    ways += [("dns", dns, policy) for policy in policies.ALL_ALIVE]
    killed = [
        policies.plain("round_robin"),
        policies.retried(),
        policies.retried({"peak_ewma": {}}, "peak_ewma, retry"),
    ]
    ways += [("consul, kill -9", consul_killed, policy) for policy in killed]
    for names, way, policy in ways:
        if settings.wants("restart", names, policy.name):
            outcome = way(policy, settings)
            note(f"restart, {names}, {policy.name}: {len(outcome.failed)} failed {outcome.codes()}")
            yield names, policy, outcome


def moments(seconds):
    """When each of the back ends is replaced."""
    return [(0.05 + 0.9 * number / COUNT) * seconds for number in range(COUNT)]


def consul(policy, settings):
    """Every other one comes back at its old address."""

    def replace(fleet, number, old, start):
        old.end()
        fleet.replace(old, port=old.port if number % 2 else 0, **start)

    return behind_consul(policy, settings, replace)


def consul_killed(policy, settings):
    def replace(fleet, _, old, start):
        old.end(signal.SIGKILL)
        fleet.replace(old, port=old.port, **start)

    return behind_consul(policy, settings, replace)


def behind_consul(policy, settings, replace):
    with Agent() as agent, Fleet() as fleet:
        start = {"consul": agent.address, "log": settings.log}
        first = [fleet.start(**start) for _ in range(COUNT)]
        agent.wait(lambda: agent.passing() == COUNT)
        events = [
            (second, lambda number=number, old=old: replace(fleet, number, old, start))
            for number, (second, old) in enumerate(zip(moments(settings.restart_seconds), first))
        ]
        return load.run(
            f"consul://{agent.address}/recovery", policy, RATE, settings.restart_seconds, events,
            timeout=10, log=settings.log,
        )  # fmt: skip


def dns(policy, settings):
    """The new address is in the answer for two seconds before the old one is stopped."""
    port = free_port()

    def address(number):
        return f"127.0.0.{number + 2}"

    with Names(address(number) for number in range(COUNT)) as names, Fleet() as fleet:
        first = [fleet.start(address(n), port, log=settings.log) for n in range(COUNT)]

        def replace(number, old):
            new = fleet.replace(old, address(COUNT + number), port, log=settings.log)
            names.addresses.append(new.host)
            time.sleep(2)
            old.end()
            names.addresses.remove(old.host)

        events = [
            (second, lambda number=number, old=old: replace(number, old))
            for number, (second, old) in enumerate(zip(moments(settings.restart_seconds), first))
        ]
        return load.run(
            f"dns://{names.address}/recovery.test:{port}", policy, RATE, settings.restart_seconds,
            events, timeout=10, log=settings.log,
        )  # fmt: skip
