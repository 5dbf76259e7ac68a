# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Bar charts as SVG, drawn by hand."""

from html import escape

# file: (title, unit, [(scenario, variant or None for all, metric)])
CHARTS = {
    "throughput.svg": (
        "Server, unary: calls per second of one core",
        "calls/s",
        [("server_unary", None, "per_s")],
    ),
    "cpu-per-call.svg": (
        "Processor time of a unary call",
        "µs",
        [("server_unary", None, "cpu_us_per_call"), ("client_unary", None, "cpu_us_per_call")],
    ),
    "latency-p50.svg": (
        "One caller, both ends on one CPU: p50",
        "µs",
        [("same_stack", None, "p50_us")],
    ),
    "latency-p99.svg": (
        "One caller, both ends on one CPU: p99",
        "µs",
        [("same_stack", None, "p99_us")],
    ),
    "tail.svg": (
        "Latency on a timetable",
        "µs",
        [("tail", None, "p99_us"), ("tail", None, "p99.9_us")],
    ),
    "streaming.svg": (
        "Server streaming: processor time of a message",
        "µs",
        [("streaming", None, "cpu_us_per_message")],
    ),
    "memory.svg": ("Server's memory for what is idle", "KiB each", [("memory", None, "kib_each")]),
    "growth.svg": (
        "Processor time of a call as the work grows",
        "µs",
        [("growth", None, "cpu_us_per_call")],
    ),
}
NAMES = {"server_unary": "server", "client_unary": "client"}
COLOURS = {
    "trunkcall": "#d9480f",
    "ngt": "#868e96",
    "nghttpd": "#adb5bd",
    "grpc-c++": "#1971c2",
    "grpc-swift-2": "#5f3dc4",
}
WIDTH, LEFT, RIGHT, BAR, GAP = 860, 300, 120, 16, 10


def draw(result, folder):
    drawn = []
    for name, (title, unit, series) in CHARTS.items():
        bars = []
        for scenario, variant, metric in series:
            rows = [
                r
                for r in result["rows"]
                if r["scenario"] == scenario
                and r["metric"] == metric
                and variant in (None, r["variant"])
            ]
            for group in dict.fromkeys(r["variant"] for r in rows):
                label = ", ".join(
                    part
                    for part in (
                        NAMES.get(scenario, ""),
                        group,
                        metric.removesuffix("_us")
                        if metric.startswith("p") and "us" in metric
                        else "",
                    )
                    if part
                )
                bars.append(
                    (
                        label,
                        [
                            (r["stack"], r["median"], r["least"], r["most"])
                            for r in rows
                            if r["variant"] == group
                        ],
                    )
                )
        if bars:
            (folder / name).write_text(svg(title, unit, bars))
            drawn.append((name, title))
    return drawn


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def svg(title, unit, groups):
    top = max(most for _, bars in groups for _, _, _, most in bars) or 1
    scale = (WIDTH - LEFT - RIGHT) / top
    parts, y = [], 44
    for label, bars in groups:
        middle = y + len(bars) * BAR / 2 + 4
        parts.append(
            f'<text x="{LEFT - 10}" y="{middle:.0f}" text-anchor="end">{escape(label)}</text>'
        )
        for stack, median, least, most in bars:
            width = max(1.0, median * scale)
            parts.append(
                f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 3}" '
                f'fill="{COLOURS.get(stack, "#495057")}"/>'
            )
            if most > least:  # the spread
                line = y + (BAR - 3) / 2
                parts.append(
                    f'<path d="M{LEFT + least * scale:.1f} {line}H{LEFT + most * scale:.1f}" '
                    'stroke="#212529" stroke-width="1.5"/>'
                )
            end = LEFT + max(median, most) * scale + 6
            parts.append(
                f'<text x="{end:.1f}" y="{y + BAR - 5}" class="n">{number(median)} '
                f"{escape(stack)}</text>"
            )
            y += BAR
        y += GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + 10}" '
        f'viewBox="0 0 {WIDTH} {y + 10}">\n'
        "<style>text{font:13px sans-serif;fill:#212529}.n{font-size:11px}</style>\n"
        f'<rect width="{WIDTH}" height="{y + 10}" fill="#fff"/>\n'
        f'<text x="16" y="24" style="font-size:16px">{escape(title)} ({escape(unit)})</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )
