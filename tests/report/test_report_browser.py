"""The report in a real browser: it renders, says nothing on the console, and fits a phone."""

from __future__ import annotations

import html
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from tests.report.variants import variant

from bertling.report import render_report
from bertling.results import Results

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
    assert dom.count("<svg") == 2 + len(results.histories)
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
    page = render_report(
        results.model_copy(update={"name": long, "disagreements": [row], "augmentation": augmentation})
    )
    outer = f"""<!doctype html><iframe style="width:{width}px;height:600px;border:0"
        onload="document.title = 'wide ' + contentDocument.documentElement.scrollWidth"
        srcdoc="{html.escape(page)}"></iframe>"""
    dom, _ = rendered(chromium, outer, tmp_path)
    match = re.search(r"<title>wide (\d+)</title>", dom)
    assert match, "the page did not load"
    assert int(match[1]) <= width
