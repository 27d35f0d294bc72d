"""How large a model is: bytes on disk and parameters."""

from __future__ import annotations

from pathlib import Path

from torch import nn

from bertling.errors import ModelError


def model_size(folder: Path) -> int:
    """Bytes of the weight files (``*.safetensors``, all shards) of the model in ``folder``.

    Raises:
        ModelError: there is no weight file in the folder.
    """
    sizes = [path.stat().st_size for path in folder.glob("*.safetensors")]
    if not sizes:
        raise ModelError(
            f"{folder} holds no *.safetensors file, so there is nothing to measure. "
            "Give a folder that save_pretrained wrote"
        )
    return sum(sizes)


def parameter_count(model: nn.Module) -> int:
    """Number of parameters, trainable or not; one that several modules share counts once."""
    return sum(parameter.numel() for parameter in model.parameters())
