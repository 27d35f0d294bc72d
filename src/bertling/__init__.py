"""bertling hatches a small, fast encoder from a big one: TinyBERT on stock Hugging Face models.

Names are imported when they are first used, so that the command line need not wait for torch.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bertling.data.collation import calibration_batches
    from bertling.data.tokenization import TokenizedTexts, tokenize, tokenize_corpus
    from bertling.errors import BertlingError
    from bertling.inference.predictor import Predictor
    from bertling.models.student import Shape, create_student
    from bertling.models.teacher import load_classifier, load_encoder, load_tokenizer
    from bertling.objectives.layer_map import layer_map
    from bertling.objectives.objective import Objective
    from bertling.objectives.presets import build_objective
    from bertling.pipeline import ablate, compare, run
    from bertling.pipeline.export import export
    from bertling.pipeline.trimming import trim
    from bertling.recipe.load import load_recipe
    from bertling.results import Results, read_results
    from bertling.training.arguments import training_arguments
    from bertling.training.cache_filling import fill_teacher_cache
    from bertling.training.calibration import fit_projections
    from bertling.training.teacher_cache import SoftTargets
    from bertling.training.trainer import DistillationTrainer

_HOMES = {
    "BertlingError": "errors",
    "DistillationTrainer": "training.trainer",
    "Objective": "objectives.objective",
    "Predictor": "inference.predictor",
    "Results": "results",
    "Shape": "models.student",
    "SoftTargets": "training.teacher_cache",
    "TokenizedTexts": "data.tokenization",
    "ablate": "pipeline",
    "build_objective": "objectives.presets",
    "calibration_batches": "data.collation",
    "compare": "pipeline",
    "create_student": "models.student",
    "export": "pipeline.export",
    "fill_teacher_cache": "training.cache_filling",
    "fit_projections": "training.calibration",
    "layer_map": "objectives.layer_map",
    "load_classifier": "models.teacher",
    "load_encoder": "models.teacher",
    "load_recipe": "recipe.load",
    "load_tokenizer": "models.teacher",
    "read_results": "results",
    "run": "pipeline",
    "tokenize": "data.tokenization",
    "tokenize_corpus": "data.tokenization",
    "training_arguments": "training.arguments",
    "trim": "pipeline.trimming",
}

__all__ = [
    "BertlingError",
    "DistillationTrainer",
    "Objective",
    "Predictor",
    "Results",
    "Shape",
    "SoftTargets",
    "TokenizedTexts",
    "ablate",
    "build_objective",
    "calibration_batches",
    "compare",
    "create_student",
    "export",
    "fill_teacher_cache",
    "fit_projections",
    "layer_map",
    "load_classifier",
    "load_encoder",
    "load_recipe",
    "load_tokenizer",
    "read_results",
    "run",
    "tokenize",
    "tokenize_corpus",
    "training_arguments",
    "trim",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bertling' has no attribute {name!r}; it has {', '.join(__all__)}")
    return getattr(importlib.import_module(f"bertling.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
