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


def report(run: Annotated[Path, Parameter(help="Run folder.")], /) -> None:
    """Write a run's report.html again, from its results.json."""
    results = _read_results(run)

    from bertling.report import write_report

    page = run / "report.html"
    write_report(results, page)
    Console().print(Text(f"wrote {page}"), soft_wrap=True)


def _read_results(run: Path) -> Results:
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
