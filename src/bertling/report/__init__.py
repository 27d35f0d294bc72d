"""The report of a run: one self-contained HTML page, made from ``Results``. Imports no torch."""

from __future__ import annotations

from bertling.report.html import render_report, write_report

__all__ = ["render_report", "write_report"]
