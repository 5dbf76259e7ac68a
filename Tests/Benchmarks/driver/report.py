# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Results as JSON, as Markdown tables and as charts."""

import datetime
import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

import build
import charts
import scenarios
from stacks import OWN

FOLDER = build.ROOT / "docs" / "performance"
UNITS = {
    "cpu_us_per_call": "CPU µs per call",
    "cpu_us_per_message": "CPU µs per message",
    "per_s": "calls/s",
    "mb_per_s": "MB/s",
    "p50_us": "p50 µs",
    "p90_us": "p90 µs",
    "p99_us": "p99 µs",
    "p99.9_us": "p99.9 µs",
    "late_p99_us": "p99 µs of how late `load` itself was",
    "kib_each": "KiB each",
    "kib_left_each": "KiB each, after they have gone",
    "kib_again_each": "KiB each, a second time",
    "ns": "ns",
    "all_per_call": "system calls per call",
    "futex_per_call": "of them futex",
    "server_cpu_us_per_call": "server's CPU µs per call",
    "client_cpu_us_per_call": "client's CPU µs per call",
    "least_connections": "connections on the loop with the fewest",
    "most_connections": "connections on the loop with the most",
    "busiest_percent": "calls of the busiest loop, %",
    "wakeups_per_call": "wake-ups by other threads per call",
    "remote_jobs_per_call": "jobs from other threads per call",
    "contended_locks_per_call": "contended locks per call",
    "refcounts_per_call": "changes of reference counts per call",
    "shared_refcounts_per_call": "of them another thread's before per call",
    "futexes_per_call": "futex calls per call (strace)",
    "eventfd_writes_per_call": "eventfd writes per call (strace)",
}


def machine():
    with open("/proc/cpuinfo", encoding="utf-8") as file:
        model = re.search(r"model name\s*:\s*(.+)", file.read())
    with open("/proc/meminfo", encoding="ascii") as file:
        memory = int(re.search(r"MemTotal:\s*(\d+)", file.read()).group(1)) >> 20
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cpus": os.cpu_count(),
        "memory_gib": memory,
        "kernel": platform.release().split("-")[0],
        "load_before": round(os.getloadavg()[2], 2),
    }


def command():
    """How it was called, without where the results went."""
    words = re.sub(r"--output[ =]\S+", "", " ".join(sys.argv[1:])).split()
    return " ".join(["Scripts/bench", *words])


def first(command, pattern=r"(.+)"):
    try:
        result = subprocess.run(command, capture_output=True, text=True, check=False)
    except OSError:
        return "?"
    found = re.search(pattern, result.stdout + result.stderr)
    return found.group(1).strip() if found else "?"


def versions(stacks):
    found = {
        "trunkcall": first(["git", "-C", str(build.ROOT), "describe", "--always", "--dirty"]),
        "swift": first(["swift", "--version"], r"Swift version (\S+)"),
        "nghttp2": first(["pkg-config", "--modversion", "libnghttp2"]),
    }
    if "grpc-c++" in stacks:
        found["grpc-c++"] = first(["pkg-config", "--modversion", "grpc++"])
    if "grpc-swift-2" in stacks:
        package = (build.GRPC_SWIFT / "Package.swift").read_text()
        for name in ("grpc-swift-2", "grpc-swift-nio-transport"):
            found[name] = re.search(rf'{name}\.git", exact: "([\d.]+)"', package).group(1)
    return found


def collect(run, stacks, failures):
    groups = {}
    for sample in run.samples:
        key = tuple(sample[k] for k in ("scenario", "variant", "stack", "metric"))
        groups.setdefault(key, []).append(sample["value"])
    rows = []
    for (scenario, variant, stack, metric), values in groups.items():
        values = sorted(values)
        middle = len(values) // 2
        median = values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2
        rows.append(
            {
                "scenario": scenario,
                "variant": variant,
                "stack": stack,
                "metric": metric,
                "median": round(median, 6),
                "least": round(values[0], 6),
                "most": round(values[-1], 6),
                "rounds": len(values),
            }
        )
    return {
        "date": datetime.date.today().isoformat(),
        "machine": machine(),
        "versions": versions(stacks),
        "command": command(),
        "rows": rows,
        "failures": failures,
    }


def amount(value):
    if abs(value) >= 1_000:
        return f"{value:,.0f}"
    if 0 < abs(value) < 0.01:
        return f"{value:.5f}"
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}"


def cell(row):
    if row["rounds"] == 1:
        return amount(row["median"])
    return f"{amount(row['median'])} ({amount(row['least'])}–{amount(row['most'])})"


def setting(result):
    """Where and with what it was measured."""
    m, v = result["machine"], result["versions"]
    return (
        f"Measured {result['date']} on {m['cpus']} CPUs ({m['cpu']}), {m['memory_gib']} GiB, Linux "
        f"{m['kernel']}, load average beforehand {m['load_before']}; "
        + ", ".join(f"{name} {version}" for name, version in v.items())
        + f".\nRepeat it: `{result['command'].strip()}`."
    )


def markdown(result):
    lines = [setting(result) + " Median (least–most) of the rounds.", ""]
    for scenario in scenarios.ALL:
        rows = [r for r in result["rows"] if r["scenario"] == scenario.__name__]
        if not rows:
            continue
        lines += [f"### {' '.join(scenario.__doc__.split())}", ""]
        stacks = unique(r["stack"] for r in rows)
        lines += ["| | " + " | ".join(stacks) + " |", "|---|" + "---:|" * len(stacks)]
        for variant, metric in unique((r["variant"], r["metric"]) for r in rows):
            cells = []
            for stack in stacks:
                found = [
                    r
                    for r in rows
                    if (r["variant"], r["metric"], r["stack"]) == (variant, metric, stack)
                ]
                cells.append(cell(found[0]) if found else "-")
            name = ", ".join(part for part in (variant, UNITS.get(metric, metric)) if part)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines += ratios(rows) + REMARKS.get(scenario.__name__, lambda _: [])(rows) + [""]
    if result["failures"]:
        lines += ["### Failed", "", *[f"- {f}" for f in result["failures"]], ""]
    return "\n".join(lines)


def ratios(rows):
    """Of processor time, this library to the others, by medians of the same run."""
    lines = []
    for metric in ("cpu_us_per_call", "cpu_us_per_message"):
        for variant in unique(r["variant"] for r in rows if r["metric"] == metric):
            at = {
                r["stack"]: r["median"]
                for r in rows
                if r["metric"] == metric and r["variant"] == variant
            }
            own = at.pop(OWN, None)
            if own and at:
                parts = ", ".join(
                    f"{own / value:.2f} x {name}" for name, value in at.items() if value
                )
                lines += ["", f"{variant or 'trunkcall'}: {parts}"]
    return lines


def medians(rows, metric):
    """By variant and stack."""
    return {(r["variant"], r["stack"]): r["median"] for r in rows if r["metric"] == metric}


def tail_remarks(rows):
    """Ratios of latencies: this library's to C++'s, and of small calls beside large ones to alone."""
    lines = []
    for metric in ("p99_us", "p99.9_us"):
        at = medians(rows, metric)
        parts = [
            f"{variant} {at[variant, OWN] / other:.2f}"
            for (variant, stack), other in at.items()
            if stack == "grpc-c++" and at.get((variant, OWN)) and other
        ]
        if parts:
            lines += ["", f"{metric.removesuffix('_us')}, this library's to C++'s: {'; '.join(parts)}"]
    at, parts = medians(rows, "p99_us"), []
    for (variant, stack), mixed in at.items():
        alone = at.get((variant.replace("small beside 1 % of 1 MiB", "small alone"), stack))
        if variant.startswith("small beside") and alone:
            parts.append(f"{stack} {mixed / alone:.2f}")
    if parts:
        lines += ["", f"p99 of small calls, beside 1 % of 1 MiB to alone: {'; '.join(parts)}"]
    return lines


def loops_remarks(rows):
    parts = []
    for metric in ("per_s", "cpu_us_per_call"):
        at = medians(rows, metric)
        one, two = at.get(("1 loop", OWN)), at.get(("2 loops", OWN))
        if one and two:
            parts.append(f"{two / one:.2f} x {UNITS[metric]}")
    return ["", f"Two loops to one: {', '.join(parts)}"] if parts else []


def busy_poll_remarks(rows):
    """What looking brings and costs beside not looking."""
    p50, lines = medians(rows, "p50_us"), []
    server, client = (medians(rows, f"{end}_cpu_us_per_call") for end in ("server", "client"))
    for (variant, stack), value in p50.items():
        none = (variant.rsplit(", ", 1)[0] + ", 0 µs", stack)
        if (variant, stack) == none or not p50.get(none):
            continue
        cpu, before = (server[at] + client[at] for at in ((variant, stack), none))
        lines += ["", f"{variant}: p50 {value / p50[none]:.2f} x, CPU of both {cpu / before:.2f} x"]
    return lines


REMARKS = {"tail": tail_remarks, "loops": loops_remarks, "busy_poll": busy_poll_remarks}


def unique(items):
    return list(dict.fromkeys(items))


def write_page(folder, name, result, text):
    """As data and as Markdown."""
    folder = Path(folder) if folder else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    data = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / f"{name}.json").write_text(data + "\n")
    (folder / f"{name}.md").write_text(text)
    build.note(f"wrote {folder / name}.md")


def write(result, folder):
    folder = Path(folder) if folder else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    drawn = charts.draw(result, folder)
    text = (
        "# Results\n\nWritten by `Scripts/bench`; [docs/performance.md](../performance.md) says how "
        "to read them.\n\n" + markdown(result)
    )
    if drawn:
        text += "\n## Charts\n\n" + "\n".join(f"![{title}]({name})" for name, title in drawn) + "\n"
    write_page(folder, "results", result, text)
