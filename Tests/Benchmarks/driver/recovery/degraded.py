# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""One of five back ends turns slow, or fails half of its calls, for a while."""

from dataclasses import dataclass

from build import note

from . import load, policies
from .fleet import COUNT, Fleet

RATE = 500
FAULTS = {"slow": "slow 500", "failing": "fail 50"}


@dataclass
class Run:
    policy: policies.Policy
    outcome: load.Outcome
    # That back ends received for each call during the fault.
    attempts: float


@dataclass(frozen=True)
class Times:
    """Seconds: the fault begins, and ends, and the run's end."""

    begin: int
    end: int
    all: int

    @staticmethod
    def of(settings):
        return Times(*settings.degraded_seconds)

    def phases(self, outcome):
        # Without the first second, in which connections and averages are new.
        return {
            "before": outcome.between(1, self.begin),
            "during": outcome.between(self.begin, self.end),
            "after": outcome.between(self.end, self.all),
        }


def runs(fault, settings):
    """One for each policy; round_robin's, the first, says how long hedging waits."""
    times = Times.of(settings)
    if settings.only and fault not in settings.only:
        return
    first = run(policies.plain("round_robin"), fault, times, settings)
    yield first
    delay = times.phases(first.outcome)["before"].percentile(95) / 1e3
    for policy in others(fault, delay):
        yield run(policy, fault, times, settings)


def others(fault, delay):
    found = [
        policies.plain("least_request_experimental"),
        policies.plain("peak_ewma"),
        policies.outlier_detection(),
        policies.hedging(delay),
    ]
    if fault == "slow":
        found.append(
            policies.Policy("peak_ewma, hedging", policies.hedged({"peak_ewma": {}}, delay))
        )
    else:
        found += [
            policies.retried(),
            policies.retried(
                {"outlier_detection_experimental": policies.OUTLIER}, "outlier_detection, retry"
            ),
        ]
    return [*found, policies.CPP]


def run(policy, fault, times, settings):
    with Fleet() as fleet:
        for _ in range(COUNT):
            fleet.start(log=settings.log)
        counts = []

        def change(state):
            counts.append(fleet.calls())
            fleet.back_ends[0].become(state)

        events = [(times.begin, lambda: change(FAULTS[fault])), (times.end, lambda: change("well"))]
        outcome = load.run(
            fleet.target, policy, RATE, times.all, events, timeout=10, log=settings.log
        )
    during = outcome.between(times.begin, times.end)
    attempts = (counts[1] - counts[0]) / len(during.calls)
    note(
        f"{fault}, {policy.name}: {during.success():.2f} % OK, p50 {during.percentile(50):.1f}, "
        f"p99 {during.percentile(99):.1f} ms, {attempts:.3f} attempts a call"
    )
    return Run(policy, outcome, attempts)


def ejected(outcome, times):
    """While outlier detection has to keep failures under 1 %: from its second interval after the
    fault began until the first ejection may have ended."""
    return outcome.between(times.begin + 2, min(times.begin + 11, times.end))
