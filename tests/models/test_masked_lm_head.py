from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tests import tiny
from tests.models.checkpoints import saved

from bertling.models.masked_lm_head import masked_lm_head


@pytest.mark.parametrize("architecture", ["bert", "roberta", "electra-projected", "distilbert", "modernbert"])
def test_the_head_alone_gives_the_logits_of_the_whole_model(architecture: str, tmp_path: Path) -> None:
    model = tiny.masked_lm(architecture)
    batch = tiny.batch([9, 4, 1], total=11)
    states = model.base_model(**batch).last_hidden_state
    head = masked_lm_head(saved(model, tmp_path))
    assert head is not None
    chosen = torch.tensor([0, 0, 2, 1]), torch.tensor([8, 0, 0, 3])
    got = head(states[chosen].requires_grad_())
    torch.testing.assert_close(got, model(**batch).logits[chosen])


def test_an_encoder_without_a_head_gives_none(tmp_path: Path) -> None:
    assert masked_lm_head(saved(tiny.encoder(), tmp_path)) is None
