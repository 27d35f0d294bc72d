"""``bertling report``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter
from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from bertling.errors import RunFolderError
from bertling.results import Results, read_results
from bertling.results_of_attention import attention_of_run
from bertling.results_of_exports import exports_of_run


def report(run: Annotated[Path, Parameter(help="Run folder.")], /) -> None:
    """Write a run's report.html again, from its results.json, its attention.json and its exports."""
    results = read_run_results(run)

    from bertling.report import write_report

    page, attention, exports = run / "report.html", attention_of_run(run), exports_of_run(run)
    write_report(results, page, attention=attention, exports=exports)
    console = Console()
    trimmed = run / "trimmed"
    for place, shown, command in (
        (run / "attention.json", attention is not None, f"bertling attention {run}"),
        (run / "export", "student" in exports, f"bertling export {run}"),
        (
            trimmed / "export",
            "trimmed student" in exports,
            f"bertling trim {run}, and bertling export {trimmed}",
        ),
    ):
        if place.exists() and not shown:
            console.print(
                Text(
                    f"left out {place}, which is of another student or version of bertling; what makes it "
                    f"anew: {command}"
                ),
                soft_wrap=True,
            )
    console.print(Text(f"wrote {page}"), soft_wrap=True)


def read_run_results(run: Path) -> Results:
    """``RUN/results.json``; raises a RunFolderError where there is none of this version."""
    path = run / "results.json"
    try:
        return read_results(path)
    except FileNotFoundError:
        raise RunFolderError(
            f"no file {path.absolute()}: expected the folder of a finished run; "
            "the bertling run that was stopped goes on when it is given again"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}): run the recipe again") from error
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        where = ".".join(str(item) for item in first["loc"])
        raise RunFolderError(
            f"{path} is no result of this version of bertling ({where or 'file'}: {first['msg']}): "
            "run the recipe again with this version"
        ) from None
