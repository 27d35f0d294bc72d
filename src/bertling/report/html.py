"""The page: the view and its charts put into the template, and written in one step."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bertling.report.attention import SCRIPT_POLICY, view_attention
from bertling.report.beside_paper import view_beside_paper
from bertling.report.charts import Spoken, line_chart, scatter_chart
from bertling.report.closeness import view_closeness
from bertling.report.curves import StageView
from bertling.report.diagram import layer_diagram
from bertling.report.exports import view_exports
from bertling.report.view import Page, view_results
from bertling.results import Results
from bertling.results_of_attention import AttentionResults
from bertling.results_of_exports import Export, ExportedModel

# Control characters, which HTML forbids; marks that turn the direction of the text around them; lone
# surrogates, which cannot be encoded. Texts from data may hold any of them.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


def render_report(
    results: Results,
    *,
    attention: AttentionResults | None = None,
    exports: Mapping[ExportedModel, Export] | None = None,
) -> str:
    """The report as one HTML page that refers to nothing outside itself.

    It runs no script; with an analysis of attention its own one and no other, the viewer of single texts.

    Texts and labels show as they are, markup included; characters that cannot be seen, such as control
    characters and direction overrides, show as their code: ``⟨U+202E⟩``.
    """
    page = view_results(results)
    section = attention and view_attention(attention, results.layer_map, visible)
    return render_page(
        "template.html.j2",
        page=page,
        scatter=_scatter(page),
        beside_paper=view_beside_paper(results),
        layer_map=_layer_map(page) if page.teacher_layers else None,
        curves={stage.key: _curves(stage) for stage in page.stages},
        closeness=view_closeness(results),
        attention=section,
        exports=view_exports(exports or {}, results),
        script_policy=SCRIPT_POLICY if section and section.data else "",
    )


def write_report(
    results: Results,
    path: Path,
    *,
    attention: AttentionResults | None = None,
    exports: Mapping[ExportedModel, Export] | None = None,
) -> None:
    """Write the report to ``path``, whole or not at all: a reader never sees half a page.

    Raises:
        OSError: the folder is missing or cannot be written to.
    """
    write_page(render_report(results, attention=attention, exports=exports), path)


def render_page(template: str, **values: Any) -> str:
    """A template of this package filled in, with what cannot be seen made visible."""
    environment = Environment(
        loader=PackageLoader("bertling.report", ""),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return visible(environment.get_template(template).render(**values))


def visible(text: str) -> str:
    """The text with what cannot be seen as its code: ``⟨U+202E⟩``."""
    return _UNSEEN.sub(lambda match: f"⟨U+{ord(match[0]):04X}⟩", text)


def write_page(page: str, path: Path) -> None:
    """Write a page whole or not at all."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_text(page, encoding="utf-8")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def _scatter(page: Page) -> Markup | None:
    if not page.points:
        return None
    described = [f"{point.label}: {point.y:.1f} at {point.x:.3g} ms" for point in page.points]
    described += [f"{level.label}: {level.y:.1f}, not timed" for level in page.levels]
    return scatter_chart(
        page.points,
        page.levels,
        Spoken("scatter", f"{page.metric} against latency", "; ".join(described)),
        x_label="latency in ms, log scale",
        y_label=page.score_heading,
    )


def _layer_map(page: Page) -> Markup:
    described = [
        f"student's {tie.student} from teacher's {tie.teacher}: {' and '.join(tie.terms) or 'no loss'}"
        for tie in page.ties
    ]
    return layer_diagram(
        page.ties,
        Spoken("layers", "What each part of the student learns from", "; ".join(described)),
        teacher_layers=page.teacher_layers,
        student_layers=page.student_layers,
        output=page.output,
    )


def _curves(stage: StageView) -> Markup:
    values = "; ".join(f"{name}: {first} to {last}" for name, first, last in stage.losses)
    return line_chart(
        stage.lines,
        Spoken(stage.key, f"Training losses of the stage {stage.name}", values),
        x_label="step",
        y_label="loss",
    )
