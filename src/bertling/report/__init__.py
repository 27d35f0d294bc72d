"""Reports of runs and of comparisons: self-contained HTML pages, from typed results. Imports no torch."""

from __future__ import annotations

from bertling.report.comparison import render_comparison, write_comparison
from bertling.report.html import render_report, write_report

__all__ = ["render_comparison", "render_report", "write_comparison", "write_report"]
