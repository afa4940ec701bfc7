"""Draws the ratios as horizontal bars, one panel a line; plain SVG, which every browser and Sphinx shows."""

import math
from collections.abc import Iterable
from typing import Any, Final
from xml.sax.saxutils import escape

WIDTH: Final = 760
LABELS: Final = 290
BAR: Final = 16
LEAST: Final = 0.1
MOST: Final = 40.0


def chart(figures: Iterable[dict[str, Any]], size: int) -> str:
    """The figures of one size and one client; the scale is logarithmic, 1 is the C program."""
    rows = [each for each in figures if each["size"] == size and each["clients"] == 1]
    parts: list[str] = []
    y = 0
    panel = None
    for row in rows:
        heading = (row["kind"], row["medium"])
        if heading != panel:
            panel = heading
            y += 2 * BAR
            title = f"{row['kind']}, {row['medium']}, {size} bytes: rate relative to the C program"
            parts.append(f'<text x="4" y="{y}" font-weight="bold">{escape(title)}</text>')
        y += BAR + 3
        end = _place(row["ratio"])
        name = row["contender"]
        colour = "#2563a8" if "device" in name else "#9aa3ad"
        left, width = min(end, _place(1)), max(abs(end - _place(1)), 1)
        parts += [
            f'<text x="{LABELS - 6}" y="{y}" text-anchor="end">{escape(name)}</text>',
            f'<rect x="{left:.0f}" y="{y - BAR + 4}" width="{width:.0f}" height="{BAR - 3}" fill="{colour}"/>',
            f'<text x="{max(end, _place(1)) + 4:.0f}" y="{y}">{row["ratio"]:g}</text>',
        ]
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + BAR}"'
    style = (
        ' font-family="sans-serif" font-size="12"><rect width="100%" height="100%" fill="white"/>'
    )
    return "\n".join([head + style, *parts, "</svg>", ""])


def _place(ratio: float) -> float:
    share = math.log(min(max(ratio, LEAST), MOST) / LEAST) / math.log(MOST / LEAST)
    return LABELS + share * (WIDTH - LABELS - 50)
