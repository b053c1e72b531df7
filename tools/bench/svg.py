"""A line chart as SVG, written by hand: series of points, linear or logarithmic x, y from zero."""

from __future__ import annotations

import math
from html import escape

Series = dict[str, list[tuple[float, float]]]
_COLOURS = ("#1b6ca8", "#c2571a", "#3b7d3b", "#7a4fa3", "#8a6d1d", "#555555")
_LEFT, _RIGHT, _TOP, _BOTTOM, _WIDTH, _HEIGHT = 70, 150, 40, 50, 720, 400


def line_chart(title: str, x_label: str, y_label: str, series: Series, log_x: bool) -> str:
    """The whole file. Series without points are left out."""
    shown = {name: points for name, points in series.items() if points}
    xs = sorted({x for points in shown.values() for x, _ in points}) or [0.0, 1.0]
    top = _round_up(max((y for points in shown.values() for _, y in points), default=1.0))

    def place_x(x: float) -> float:
        scale = (lambda v: math.log10(max(v, 0.5))) if log_x else (lambda v: v)
        low, high = scale(xs[0]), scale(xs[-1])
        return _LEFT + (scale(x) - low) / ((high - low) or 1.0) * (_WIDTH - _LEFT - _RIGHT)

    def place_y(y: float) -> float:
        return _HEIGHT - _BOTTOM - y / top * (_HEIGHT - _TOP - _BOTTOM)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#ffffff"/>',
        _text(_LEFT, 22, title, size=15),
        _text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - 12, x_label, anchor="middle"),
        _text(_LEFT, _TOP - 6, y_label, size=11, fill="#555555"),
    ]
    for step in range(6):
        y = place_y(top * step / 5)
        parts.append(
            f'<line x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{y:.1f}" y2="{y:.1f}" stroke="#dddddd"/>'
        )
        parts.append(_text(_LEFT - 8, y + 4, f"{top * step / 5:,g}", anchor="end"))
    parts.extend(_text(place_x(x), _HEIGHT - _BOTTOM + 18, f"{x:,g}", anchor="middle") for x in xs)
    for number, (name, points) in enumerate(shown.items()):
        colour = _COLOURS[number % len(_COLOURS)]
        path = " ".join(f"{place_x(x):.1f},{place_y(y):.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.extend(
            f'<circle cx="{place_x(x):.1f}" cy="{place_y(y):.1f}" r="3.5" fill="{colour}"/>'
            for x, y in points
        )
        parts.append(_text(_WIDTH - _RIGHT + 14, _TOP + 14 + 18 * number, name, fill=colour))
    return "\n".join([*parts, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str = "start", size: int = 12, fill: str = "#222222") -> str:
    look = f'text-anchor="{anchor}" font-size="{size}" fill="{fill}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {look}>{escape(text)}</text>'


def _round_up(value: float) -> float:
    if value <= 0:
        return 1.0
    unit: float = 10.0 ** math.floor(math.log10(value))
    return next(step * unit for step in (1, 2, 2.5, 5, 10) if step * unit >= value)
