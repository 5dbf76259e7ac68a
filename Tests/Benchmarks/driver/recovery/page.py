# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""What was found, as data, tables and curves."""

import datetime

import report

from .degraded import Times, ejected
from .draw import Panel, chart
from .vanished import failing_seconds, worst

SHARES = (("p50", 50), ("p99", 99), ("p99.9", 99.9))


def latency(outcome):
    return {name: rounded(outcome.percentile(share)) for name, share in SHARES}


def rounded(value, digits=2):
    return None if value is None else round(value, digits)


def curves(outcomes, seconds, shares=SHARES):
    """A panel of successes and one of each percentile; outcomes by name."""
    each = {name: outcome.by_second(seconds) for name, outcome in outcomes.items()}
    panels = []
    if any(outcome.failed for outcome in outcomes.values()):
        lines = {n: [o.success() for o in b] for n, b in each.items()}
        panels.append(Panel("calls that succeeded, %", lines))
    for name, share in shares:
        lines = {n: [o.percentile(share) for o in b] for n, b in each.items()}
        panels.append(Panel(f"{name} of those, ms, of each second", lines, logarithmic=True))
    return panels


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
    return lines + ["| " + " | ".join(map(cell, row)) + " |" for row in rows]


def cell(value):
    if value is None:
        return "-"
    return f"{value:,.2f}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else value


def described(policy):
    return {"policy": policy.name, "config": policy.config, "flags": policy.flags}


def failures(outcome):
    codes = outcome.codes()
    return ", ".join(f"{count:,} {name}" for name, count in codes.items()) or "0"


# Each part: the rows as data, the Markdown, and the drawings by file name.


def restart(found, settings):
    rows, charts = [], {}
    for way, policy, outcome in found:
        rows.append(
            {"way": way, **described(policy), "calls": len(outcome.calls),
             "failed": outcome.codes(), **latency(outcome), "worst": rounded(worst(outcome) * 1e3),
             "texts": outcome.texts[:5]}
        )  # fmt: skip
    for way in dict.fromkeys(way for way, _, _ in found):
        outcomes = {policy.name: outcome for w, policy, outcome in found if w == way}
        name = "recovery-restart-" + way.replace(", ", "-").replace(" ", "") + ".svg"
        charts[name] = chart(
            f"Rolling restart, {way}", curves(outcomes, settings.restart_seconds),
            settings.restart_seconds, [],
        )  # fmt: skip
    text = table(
        ["", "policy", "calls", "failed", "p50 ms", "p99 ms", "p99.9 ms", "worst ms"],
        [
            [way, policy.name, len(o.calls), failures(o), *latency(o).values(),
             rounded(worst(o) * 1e3)]
            for way, policy, o in found
        ],
    )  # fmt: skip
    return rows, text, charts


def degraded(fault, found, settings):
    times = Times.of(settings)
    rows = []
    for run in found:
        phases = times.phases(run.outcome)
        rows.append(
            {**described(run.policy), "attempts_per_call": rounded(run.attempts, 4),
             **{name: {"calls": len(o.calls), "failed": o.codes(), **latency(o)}
                for name, o in phases.items()},
             "ejected": {"calls": len(ejected(run.outcome, times).calls),
                         "failed": ejected(run.outcome, times).codes()}}
        )  # fmt: skip
    text = table(
        ["policy", "OK %", "p50 ms", "p99 ms", "p99.9 ms", "attempts per call", "before: p95 ms",
         "p99 ms", "failed %, 2 s to 11 s after the fault began"],
        [
            [run.policy.name, rounded(during.success(), 3), *latency(during).values(),
             rounded(run.attempts, 3), rounded(before.percentile(95)),
             rounded(before.percentile(99)),
             rounded(100 - ejected(run.outcome, times).success(), 3)]
            for run in found
            for phases in [times.phases(run.outcome)]
            for before, during in [(phases["before"], phases["during"])]
        ],
    )  # fmt: skip
    title = {"slow": "One of five back ends answers 500 ms later",
             "failing": "One of five back ends fails half of its calls"}[fault]  # fmt: skip
    drawn = chart(
        title, curves({run.policy.name: run.outcome for run in found}, times.all), times.all,
        [(times.begin, "fault"), (times.end, "well again")],
    )  # fmt: skip
    return rows, text, {f"recovery-{fault}.svg": drawn}


def vanished(found, settings):
    begin, end, seconds = settings.vanished_seconds
    rows = [
        {**described(policy), "calls": len(o.calls), "failed": o.codes(), **latency(o),
         "worst": rounded(worst(o) * 1e3), "failing_seconds": rounded(failing_seconds(o, begin)),
         "texts": o.texts[:3]}
        for policy, o in found
    ]  # fmt: skip
    text = table(
        ["policy", "calls", "failed", "failed calls were due for, s", "p50 ms", "p99 ms",
         "p99.9 ms", "worst ms"],
        [
            [policy.name, len(o.calls), failures(o), rounded(failing_seconds(o, begin)),
             *latency(o).values(), rounded(worst(o) * 1e3)]
            for policy, o in found
        ],
    )  # fmt: skip
    drawn = chart(
        "The host of one of five back ends vanishes without a packet",
        curves({policy.name: o for policy, o in found}, seconds), seconds,
        [(begin, "gone"), (end, "back")],
    )  # fmt: skip
    return rows, text, {"recovery-vanished.svg": drawn}


# The whole page.


def setting(settings):
    """Where, when and with what a part is measured."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": report.machine(),
        "versions": report.versions(["grpc-c++"]),
        "command": report.command(),
        "seconds": {n: v for n, v in vars(settings).items() if n.endswith("_seconds")},
    }


def text(parts, found):
    lines = [
        "# Recovery", "",
        "Written by `Scripts/bench --recovery`; [docs/balancing.md](../balancing.md) says which policy "
        "when. Percentiles are of the calls that succeeded. [recovery.json](recovery.json) has the "
        "service config of each policy.", "",
    ]  # fmt: skip
    for part in parts:
        if part.title not in found:
            continue
        result = found[part.title]
        lines += [f"## {part.title}", "", part.text, "", *result["table"], ""]
        lines += [f"![{part.title}]({name})\n" for name in result["charts"]]
        lines += [report.setting(result), ""]
    return "\n".join(lines)
