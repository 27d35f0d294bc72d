"""The table of encoders in the documentation is the one in the code, and all of it is tested."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests import tiny

from bertling.errors import ModelError
from bertling.models.anatomy import ANATOMIES, anatomy_of, first_position

DOCUMENT = Path(__file__).parents[2] / "docs" / "architectures.md"


def test_the_documented_table_is_that_of_the_code() -> None:
    lines = [line for line in DOCUMENT.read_text().splitlines() if re.match(r"\|.*\| `", line)]
    rows = [[cell.strip() for cell in line.split("|")[2:-1]] for line in lines[1:]]
    documented = {name.strip("`"): cells for name, *cells in rows}
    assert documented.keys() == ANATOMIES.keys()
    for name, (seen, _, students, packed) in documented.items():
        anatomy = ANATOMIES[name]
        assert seen == ("softmax" if anatomy.taps_softmax else "interface")
        assert (packed == "no") is bool(anatomy.unpackable)
        assert ("prune" in students) is not bool(anatomy.one_width)


def test_every_architecture_has_a_tiny_model() -> None:
    assert {tiny.config(name).model_type for name in tiny.ARCHITECTURES} == ANATOMIES.keys()


@pytest.mark.parametrize("key", ["num_hidden_groups", "inner_group_num"])
def test_alberts_of_several_layers_are_refused(key: str) -> None:
    with pytest.raises(ModelError, match=f"{key} = 2 in an 'albert' is not supported; expected 1"):
        anatomy_of(tiny.config("albert", **{key: 2}))


@pytest.mark.parametrize(
    ("architecture", "first"),
    [("roberta", 2), ("xlm-roberta", 2), ("camembert", 2), ("bert", 0), ("albert", 0), ("modernbert", 0)],
)
def test_positions_begin_behind_the_padding_of_roberta_and_its_kin(architecture: str, first: int) -> None:
    assert first_position(tiny.config(architecture, pad_token_id=1)) == first
