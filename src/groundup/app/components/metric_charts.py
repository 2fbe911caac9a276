"""Figures over time."""

from collections.abc import Sequence
from typing import Any

from nicegui.element import Element

from groundup.app.metrics_history import Figures

__all__ = ["MetricCharts"]

CHARTS: list[dict[str, Any]] = [
    {"key": "requests", "title": "Requests", "unit": "/s", "lines": [""]},
    {"key": "tokens", "title": "Generated tokens", "unit": "/s", "lines": [""]},
    {"key": "first_token", "title": "Time to first token", "unit": "s", "lines": ["p50", "p95"]},
    {"key": "between_tokens", "title": "Between tokens", "unit": "s", "lines": ["p50", "p95"]},
    {"key": "queue", "title": "Requests at once", "unit": "", "lines": ["running", "waiting"],
     "whole": True},
    {"key": "kv_use", "title": "KV cache in use", "unit": "", "lines": [""], "percent": True},
    {"key": "hit_share", "title": "Prompt found in the prefix cache", "unit": "", "lines": [""],
     "percent": True},
    {"key": "errors", "title": "Errors", "unit": "/s", "lines": [""]},
]  # fmt: skip


class MetricCharts(Element, component="metric_charts.js"):
    """One chart for each of `CHARTS`."""

    def __init__(self) -> None:
        super().__init__()
        self._props["charts"] = CHARTS

    def show(self, history: Sequence[Figures]) -> None:
        """Show these, the newest at the end."""
        self.run_method("setPoints", [point(figures) for figures in history])


def point(figures: Figures) -> dict[str, Any]:
    """What the component takes: for each chart its lines' values."""
    single = ("requests", "tokens", "kv_use", "hit_share", "errors")
    lines: dict[str, Any] = {name: [getattr(figures, name)] for name in single}
    for name in ("first_token", "between_tokens"):
        lines[name] = list(getattr(figures, name) or (None, None))
    return {"at": figures.at, **lines, "queue": [figures.running, figures.waiting]}
