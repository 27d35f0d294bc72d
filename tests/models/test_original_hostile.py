"""Downloads that are damaged, or made to do harm."""

from __future__ import annotations

import pickle
import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.models.downloads import QUERY, SETTINGS, WORDS, download, message, refusal, weights
from torch import Tensor

from bertling.models.original import import_original


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("format", ["zip", "legacy"])
@pytest.mark.parametrize("place", ["whole", "value", "beside"])
def test_code_in_a_pickle_is_never_run(tmp_path: Path, format: str, place: str) -> None:
    trap = Trap(tmp_path / "sprung")
    tensors = weights(tiny.encoder())
    content = {"whole": trap, "value": {**tensors, "cls.x": trap}, "beside": [tensors, trap]}[place]
    text = refusal(tmp_path, content, format=format)
    assert "only tensors by name are read" in text
    assert not (tmp_path / "sprung").exists()
    # The trap is a real one.
    torch.load(tmp_path / "source" / "pytorch_model.bin", weights_only=False)
    assert (tmp_path / "sprung").exists()


def test_a_bare_pickle_is_not_run_either(tmp_path: Path) -> None:
    source = download(tmp_path / "source", {})
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        whole = pickle.dumps(Trap(tmp_path / "sprung"), protocol=protocol)
        (source / "pytorch_model.bin").write_bytes(whole)
        assert "pytorch_model.bin" in message(lambda: import_original(source, tmp_path / "target"))
        assert not (tmp_path / "sprung").exists()


@pytest.mark.parametrize(
    ("content", "shown"),
    [
        ([torch.zeros(2)], "holds a list, expected tensors by name"),
        (torch.zeros(2), "holds a Tensor, expected tensors by name"),
        ({"state_dict": {"x": torch.zeros(2)}}, "state_dict is a dict, expected a tensor"),
        ({"step": 3}, "step is a int, expected a tensor"),
        ({7: torch.zeros(2)}, "an entry named 7"),
        ({"cls.\x1b[2J": torch.zeros(2)}, r"an entry named 'cls.\x1b[2J'"),
        ({"cls.x": torch.eye(3).to_sparse()}, "cls.x is a sparse, quantised or empty tensor"),
        ({"cls.x": torch.zeros(3, device="meta")}, "cls.x is a sparse, quantised or empty tensor"),
        ({}, f"lacks {WORDS}"),
    ],
)
def test_what_is_not_tensors_by_name_is_refused(tmp_path: Path, content: Any, shown: str) -> None:
    assert shown in refusal(tmp_path, content)


@pytest.mark.parametrize(
    "key", ["hidden_size", "num_hidden_layers", "intermediate_size", "max_position_embeddings"]
)
@pytest.mark.parametrize("size", [10**30, 10**9, 64])
def test_sizes_that_the_weights_do_not_have_are_refused_before_anything_is_made(
    tmp_path: Path, key: str, size: int
) -> None:
    text = refusal(tmp_path, weights(tiny.encoder()), **{key: size})
    assert f"does not fit its config.json: {key} is {size}, the weights have {SETTINGS[key]}" in text


def test_a_tensor_that_repeats_its_few_bytes_is_refused(tmp_path: Path) -> None:
    width = 10**12
    tensors = {WORDS: torch.zeros(200, 1).expand(200, width)}
    text = refusal(tmp_path, tensors, hidden_size=width)
    assert f"claim {200 * width * 4} bytes, more than the file has" in text


def test_many_tensors_that_share_their_bytes_are_refused(tmp_path: Path) -> None:
    tensors = weights(tiny.encoder())
    shared = torch.zeros(400_000)
    tensors |= {f"bert.encoder.layer.{layer}.x": shared for layer in range(2, 50)}
    assert "more than the file has" in refusal(tmp_path, tensors, num_hidden_layers=50)


def test_empty_tensors_cannot_claim_sizes(tmp_path: Path) -> None:
    tensors = weights(tiny.encoder())
    tensors["bert.embeddings.position_embeddings.weight"] = torch.zeros(2**62, 0)
    text = refusal(tmp_path, tensors, max_position_embeddings=2**62)
    assert f"max_position_embeddings is {2**62}, the weights have 0" in text


def test_thousands_of_layers_of_nothing_are_refused(tmp_path: Path) -> None:
    tensors = weights(tiny.encoder())
    tensors |= {f"bert.encoder.layer.{layer}.x": torch.zeros(0) for layer in range(2, 1001)}
    text = refusal(tmp_path, tensors, num_hidden_layers=1001, format="safetensors")
    assert "has 1001 layers, expected at most 1000" in text


def test_a_compressed_archive_is_not_unpacked(tmp_path: Path) -> None:
    source = download(tmp_path / "source", {})
    with zipfile.ZipFile(source / "pytorch_model.bin", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(1_000_000))
    text = message(lambda: import_original(source, tmp_path / "target"))
    assert "unpacks to 1000000 bytes, more than it has" in text


@pytest.mark.parametrize(
    ("broken", "shown"),
    [
        (torch.full((32, 32), torch.nan), f"{QUERY} holds NaN or infinity"),
        (torch.full((32, 32), -torch.inf), f"{QUERY} holds NaN or infinity"),
        (torch.full((32, 32), 1e300, dtype=torch.float64), f"{QUERY} holds NaN or infinity"),
        (torch.zeros(32, 32, dtype=torch.int8), f"{QUERY} is torch.int8"),
        (torch.zeros(32, 32, dtype=torch.complex64), f"{QUERY} is torch.complex64"),
        (torch.zeros(32, 31), f"{QUERY} is (32, 31), expected (32, 32)"),
        (torch.zeros(32), f"{QUERY} is (32,), expected (32, 32)"),
        (torch.zeros(0), f"{QUERY} is (0,), expected (32, 32)"),
    ],
)
def test_weights_that_are_no_weights_are_refused_and_named(
    tmp_path: Path, broken: Tensor, shown: str
) -> None:
    assert shown in refusal(tmp_path, weights(tiny.encoder()) | {f"bert.{QUERY}": broken})


def test_broken_numbers_in_what_is_dropped_do_no_harm(tmp_path: Path) -> None:
    tensors = weights(tiny.encoder()) | {"fit_dense.weight": torch.full((48, 32), torch.nan)}
    import_original(download(tmp_path / "source", tensors), tmp_path / "target")


@pytest.mark.parametrize("format", ["zip", "legacy", "safetensors"])
@pytest.mark.parametrize("kept", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, format: str, kept: float) -> None:
    source = download(tmp_path / "source", weights(tiny.encoder()), format=format)
    (path,) = (*source.glob("*.bin"), *source.glob("*.safetensors"))
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert str(path) in message(lambda: import_original(source, tmp_path / "target"))
    assert not (tmp_path / "target").exists()
