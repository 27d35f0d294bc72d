"""What commands share of their arguments."""

from __future__ import annotations

from typing import Annotated

from cyclopts import Parameter

Source = Annotated[str, Parameter(help="A file that ends in .toml, or the name of a shipped recipe.")]
Overrides = Annotated[
    list[str] | None,
    Parameter(
        name="--set",
        negative="",
        help="Change a key of the recipe, as in --set student.width=192; the value none takes a key or "
        "a whole section out. May be given several times.",
    ),
]
