"""The report in a real browser: it renders, says nothing on the console, and fits a phone."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.report import attended
from tests.report.labelled import by_label, many
from tests.report.nearness import closeness
from tests.report.variants import variant

from bertling.report import render_report
from bertling.results import Results
from bertling.results_of_exports import Export, ExportedPrecision

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def chromium() -> str:
    """The browser's binary; skips where there is none, but fails in CI."""
    for name in ("chromium", "chromium-browser", "google-chrome"):
        if found := shutil.which(name):
            return found
    reason = "no Chromium: looked for chromium, chromium-browser and google-chrome"
    if os.environ.get("CI"):
        pytest.fail(f"{reason}; CI must have one")
    pytest.skip(reason)


def rendered(chromium: str, page: str, folder: Path) -> tuple[str, list[str]]:
    """The page's DOM after loading, and the lines that it left on the console."""
    path = folder / "page.html"
    path.write_text(page, encoding="utf-8")
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    done = subprocess.run(
        [chromium, *flags, f"--user-data-dir={folder / 'profile'}", "--dump-dom", path.as_uri()],
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_the_page_renders_and_the_console_stays_empty(
    chromium: str, results: Results, tmp_path: Path
) -> None:
    dom, console = rendered(chromium, render_report(results), tmp_path)
    assert console == []
    charts = ["score and speed", "layer map", "beside the paper, by speed", "by size"]
    assert dom.count("<svg") == len(charts) + len(results.histories)
    one_term, with_layers = 3 * 1, 2 * (1 + 2 * (1 + 4))
    assert dom.count('<path class="line') == one_term + with_layers
    assert results.augmentation is not None
    assert dom.count("<mark") == sum(len(example.replaced) for example in results.augmentation.sample)
    assert "bertling run recipe.toml" in dom


def test_a_script_that_slipped_in_would_not_run(chromium: str, results: Results, tmp_path: Path) -> None:
    script = "<script>document.body.textContent = 'taken over'</script></body>"
    page = render_report(results).replace("</body>", script)
    dom, console = rendered(chromium, page, tmp_path)
    assert "bertling run recipe.toml" in dom
    assert any("Content Security Policy" in line for line in console), "the console is being read"


@pytest.mark.parametrize("width", [320, 390, 800])
def test_nothing_is_wider_than_the_screen(
    chromium: str, results: Results, tmp_path: Path, width: int
) -> None:
    long = "w" * 300
    row = results.disagreements[0].model_copy(
        update=dict.fromkeys(("text", "label", "teacher", "student"), long)
    )
    assert results.augmentation is not None
    example = variant(f"a {long}", f"{long} b", was={long: long})
    augmentation = results.augmentation.model_copy(update={"masked_lm": long, "sample": [example]})
    answered = [[100 + (right == answer) * 12_345 for answer in range(12)] for right in range(12)]
    found = by_label([f"{index} {long}" for index in range(12)], student=answered, teacher=answered)
    changes = {"name": long, "disagreements": [row], "augmentation": augmentation, "by_label": found}
    changes |= {"closeness": closeness()}
    sizes = {
        "size_bytes": 15_100_000,
        "score": 0.9,
        "largest_logit_difference": 0.04,
        "label_agreement": 0.99,
    }
    exported = Export(
        task="harbour-notes",
        metric="accuracy",
        examples=872,
        score=0.9037,
        max_drop=0.01,
        max_length_tokens=128,
        precisions=[ExportedPrecision.model_validate({"precision": "int8", **sizes})],
        environment=results.environment,
    )
    page = render_report(results.model_copy(update=changes), exports={"trimmed student": exported})
    outer = f"""<!doctype html><iframe style="width:{width}px;height:600px;border:0"
        onload="document.title = 'wide ' + contentDocument.documentElement.scrollWidth"
        srcdoc="{html.escape(page)}"></iframe>"""
    dom, _ = rendered(chromium, outer, tmp_path)
    match = re.search(r"<title>wide (\d+)</title>", dom)
    assert match, "the page did not load"
    assert int(match[1]) <= width


_FOLDED = """
const page = contentDocument, found = [];
const folded = page.querySelector('section[aria-labelledby=by-label] details');
const high = () => folded.getBoundingClientRect().height;
found.push(high() < 100);
folded.querySelector('summary').click();
found.push(high() > 1000, page.documentElement.scrollWidth <= 320);
document.title = found.join(' ');
"""


def test_150_labels_unfold_on_a_small_screen(chromium: str, results: Results, tmp_path: Path) -> None:
    page = render_report(results.model_copy(update={"by_label": many(150)}))
    outer = f"""<!doctype html><iframe style="width:320px;height:600px;border:0"
        onload="{html.escape(_FOLDED)}" srcdoc="{html.escape(page)}"></iframe>"""
    dom, console = rendered(chromium, outer, tmp_path)
    assert console == []
    assert "<title>true true true</title>" in dom


_SHADES = """
const page = contentDocument;
const shade = (cell) => contentWindow.getComputedStyle(cell).backgroundColor;
const cells = [...page.querySelectorAll('[aria-labelledby=confusion-student] td')].slice(1);
document.title = new Set(cells.map(shade)).size + ' ' + cells.map((cell) => cell.textContent).join(' ');
"""


def test_a_confusion_matrix_is_shaded(chromium: str, results: Results, tmp_path: Path) -> None:
    outer = f"""<!doctype html><iframe style="width:800px;height:600px;border:0"
        onload="{html.escape(_SHADES)}" srcdoc="{html.escape(render_report(results))}"></iframe>"""
    dom, console = rendered(chromium, outer, tmp_path)
    assert console == []
    assert "<title>3 398 46 38 390</title>" in dom


def test_the_viewer_of_attention_draws_what_the_heads_do(
    chromium: str, results: Results, tmp_path: Path
) -> None:
    page = render_report(results, attention=attended.attention(results.environment))
    dom, console = rendered(chromium, page, tmp_path)
    assert console == []
    viewer = dom.split('id="attention-viewer"')[1].split("<noscript>")[0]
    assert "hidden" not in viewer.split(">")[0]
    assert viewer.count("<option") == 2 + (12 + 12) + (4 + 12)
    # One line from each of five tokens in both models; layer 12, head 1, all to the token with the number 11.
    assert viewer.count("<line") == 2 * 5
    assert 'aria-label="swell: the 100%"' in viewer
    assert "Over all texts: 70.0% to the next token, entropy 2.20 nats" in viewer


_CHOICES = """
const page = contentDocument, found = [];
const say = () => {
  const student = page.querySelector('[data-role=student]');
  found.push(student.querySelectorAll('line').length,
    [...student.querySelectorAll('.from')].map((from) => from.getAttribute('aria-label')).join('; '));
};
const choose = (select, value) => { select.value = value; select.dispatchEvent(new Event('change')); say(); };
const [text, , , layer, head] = page.querySelectorAll('#attention-viewer select');
choose(text, '1');
choose(head, '1');
choose(layer, '0');
const from = page.querySelector('[data-role=student] .from');
const shown = () => [...page.querySelectorAll('[data-role=student] line')].filter(
  (line) => contentWindow.getComputedStyle(line).visibility === 'visible').length;
from.dispatchEvent(new Event('click'));
found.push(shown());
from.dispatchEvent(new Event('click'));
found.push(shown());
document.title = [page.documentElement.scrollWidth, ...found].join(' | ');
"""


def test_text_layer_and_head_can_be_chosen_on_a_small_screen(
    chromium: str, results: Results, tmp_path: Path
) -> None:
    analysis = attended.attention(results.environment)
    tokens = [*attended.TEXTS[1][:-1], "w" * 300]
    last = analysis.examples[1].model_copy(update={"tokens": tokens})
    page = render_report(
        results, attention=analysis.model_copy(update={"examples": [analysis.examples[0], last]})
    )
    outer = f"""<!doctype html><iframe style="width:320px;height:600px;border:0"
        onload="{html.escape(_CHOICES)}" srcdoc="{html.escape(page)}"></iframe>"""
    dom, console = rendered(chromium, outer, tmp_path)
    assert console == []
    match = re.search(r"<title>(.*?)</title>", dom)
    assert match, "the page did not load"
    wide, *found = html.unescape(match[1]).split(" | ")
    assert int(wide) <= 320
    # Layer 4, head 1 looks at the fourth of four tokens, head 2 at the first; that of layer 1 at the second.
    expected = [
        part
        for target in (tokens[3], tokens[0], tokens[1])
        for part in ("4", "; ".join(f"{token}: {target} 100%" for token in tokens))
    ]
    assert found == [*expected, "1", "4"]
