"""Every kind of labels on one of the architectures, each of which is exported once."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.exporting import exported

from bertling import Predictor


@pytest.mark.slow
@pytest.mark.parametrize(
    ("architecture", "kind", "layers"),
    [
        ("roberta", "words", 1),
        ("electra-projected", "regression", 1),
        ("distilbert", "multi_label", 1),
        ("albert", "classification", 2),
        ("mobilebert", "classification", 1),
        ("deberta-v2", "classification", 1),
        # whose second layer is a local one
        ("modernbert", "classification", 2),
    ],
)
def test_each_kind_and_architecture_answers_as_in_pytorch(
    tmp_path: Path, architecture: str, kind: str, layers: int
) -> None:
    model = exported.model_of(kind, architecture, layers=layers)
    export = exported.write(tmp_path / "export", kind, model, precisions=["float32", "int8"])
    full, small = export.precisions
    assert full.largest_logit_difference < 1e-4
    assert full.label_agreement in (1.0, None)
    assert (full.label_agreement is None) is (kind == "regression")
    # random weights, without anything that training would have made robust
    assert small.largest_logit_difference > full.largest_logit_difference
    manifest = Predictor(tmp_path / "export" / "int8").manifest
    assert manifest.kind == ("classification" if kind == "pairs" else kind)
