# SPDX-License-Identifier: Apache-2.0
# Copyright 2026 The Trunkcall Authors
"""Curves over time as SVG, drawn by hand: panels above each other, a line for each policy."""

import math
from dataclasses import dataclass
from html import escape

COLOURS = [
    "#d9480f", "#1971c2", "#2f9e44", "#7048e8", "#f59f00", "#22b8cf", "#e64980", "#868e96",
    "#94d82d", "#5c3a21",
]  # fmt: skip
FOREIGN = "#000000"
WIDTH, LEFT, RIGHT, HEIGHT, GAP = 860, 70, 20, 150, 34


@dataclass
class Panel:
    """Values of each second; None leaves a gap."""

    title: str
    lines: dict
    logarithmic: bool = False

    def bounds(self):
        values = [v for line in self.lines.values() for v in line if v is not None]
        if self.logarithmic:
            values = [max(v, 0.1) for v in values] or [1]
            return 10 ** math.floor(math.log10(min(values))), 10 ** math.ceil(math.log10(max(values)))
        return min([*values, 99]), 100

    def ticks(self):
        low, high = self.bounds()
        if not self.logarithmic:
            return [low + (high - low) * part / 4 for part in range(5)]
        count = round(math.log10(high / low))
        return [low * 10**power for power in range(count + 1)]

    def share(self, value):
        """Where between the bounds, 0 to 1."""
        low, high = self.bounds()
        if self.logarithmic:
            low, high, value = math.log10(low), math.log10(high), math.log10(max(value, 0.1))
        return (value - low) / (high - low or 1)


def chart(title, panels, seconds, marks):
    """marks: (second, text), such as when a fault begins."""
    names = list(dict.fromkeys(name for panel in panels for name in panel.lines))
    colour = {
        name: FOREIGN if name.startswith("gRPC") else COLOURS[number % len(COLOURS)]
        for number, name in enumerate(names)
    }
    parts, top = [], 44
    for number, name in enumerate(names):
        x, y = LEFT + number % 2 * 380, top + number // 2 * 18
        parts.append(
            f'<path d="M{x} {y - 4}h18" stroke="{colour[name]}" stroke-width="3"/>'
            f'<text x="{x + 24}" y="{y}">{escape(name)}</text>'
        )
    top += (len(names) + 1) // 2 * 18 + GAP
    for panel in panels:
        parts.append(draw(panel, top, seconds, marks, colour))
        top += HEIGHT + GAP
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{top}" '
        f'viewBox="0 0 {WIDTH} {top}">\n'
        "<style>text{font:12px sans-serif;fill:#212529}.n{font-size:11px}</style>\n"
        f'<rect width="{WIDTH}" height="{top}" fill="#fff"/>\n'
        f'<text x="16" y="22" style="font-size:16px">{escape(title)}</text>\n'
        + "\n".join(parts)
        + "\n</svg>\n"
    )


def draw(panel, top, seconds, marks, colour):
    def across(second):
        return LEFT + (WIDTH - LEFT - RIGHT) * second / seconds

    def down(value):
        return top + HEIGHT * (1 - panel.share(value))

    parts = [f'<text x="{LEFT}" y="{top - 8}">{escape(panel.title)}</text>']
    for tick in panel.ticks():
        parts.append(
            f'<path d="M{LEFT} {down(tick):.1f}H{WIDTH - RIGHT}" stroke="#dee2e6"/>'
            f'<text x="{LEFT - 6}" y="{down(tick) + 4:.1f}" text-anchor="end" class="n">{tick:g}</text>'
        )
    for second in range(0, seconds + 1, 5 if seconds <= 60 else 10):
        parts.append(
            f'<text x="{across(second):.1f}" y="{top + HEIGHT + 14}" text-anchor="middle" '
            f'class="n">{second} s</text>'
        )
    for second, text in marks:
        parts.append(
            f'<path d="M{across(second):.1f} {top}v{HEIGHT}" stroke="#868e96" '
            'stroke-dasharray="4 3"/>'
            f'<text x="{across(second) + 4:.1f}" y="{top + 12}" class="n">{escape(text)}</text>'
        )
    for name, values in panel.lines.items():
        pen, path = "M", ""
        for second, value in enumerate(values):
            if value is None:
                pen = "M"
                continue
            path += f"{pen}{across(second + 0.5):.1f} {down(value):.1f}"
            pen = "L"
        parts.append(f'<path d="{path}" fill="none" stroke="{colour[name]}" stroke-width="1.6"/>')
    return "\n".join(parts)
