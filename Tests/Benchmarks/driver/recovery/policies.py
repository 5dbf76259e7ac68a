# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Service configs by the names that figures have for them. {delay} is the healthy p95."""

from dataclasses import dataclass, field

METHOD = {"name": [{"service": "helloworld.Greeter"}]}
# Waits are short beside a call's time, so that a retried call is late by little.
RETRY = {
    "maxAttempts": 3,
    "initialBackoff": "0.01s",
    "maxBackoff": "0.1s",
    "backoffMultiplier": 2,
    "retryableStatusCodes": ["UNAVAILABLE"],
}
OUTLIER = {
    "interval": "1s",
    "baseEjectionTime": "10s",
    "maxEjectionPercent": 20,
    "failurePercentageEjection": {"threshold": 40, "minimumHosts": 3, "requestVolume": 20},
    "childPolicy": [{"round_robin": {}}],
}
ROUND_ROBIN = {"round_robin": {}}


@dataclass(frozen=True)
class Policy:
    """One line of a figure: a service config, and the options of the channel beside it."""

    name: str
    config: dict
    flags: dict = field(default_factory=dict)
    stack: str = "trunkcall"


def balanced(balancer, **method):
    config = {"loadBalancingConfig": [balancer]}
    if method:
        config["methodConfig"] = [{**METHOD, **method}]
    return config


def hedged(balancer, delay):
    return balanced(
        balancer,
        hedgingPolicy={
            "maxAttempts": 2,
            "hedgingDelay": f"{delay:.3f}s",
            "nonFatalStatusCodes": ["UNAVAILABLE"],
        },
    )


def plain(name, settings=None, label=None):
    return Policy(label or name, balanced({name: settings or {}}))


ALL_ALIVE = [
    plain("round_robin"),
    plain("weighted_round_robin", {"blackoutPeriod": "2s"}),
    plain("least_request_experimental"),
    plain("peak_ewma"),
]
CPP = Policy("gRPC C++, round_robin", balanced(ROUND_ROBIN), stack="grpc-c++")


def retried(balancer=None, name="round_robin, retry"):
    return Policy(name, balanced(balancer or ROUND_ROBIN, retryPolicy=RETRY))


def outlier_detection():
    return Policy(
        "outlier_detection over round_robin", balanced({"outlier_detection_experimental": OUTLIER})
    )


def hedging(delay):
    return Policy("round_robin, hedging", hedged(ROUND_ROBIN, delay))
