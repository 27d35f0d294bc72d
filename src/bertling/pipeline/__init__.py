"""Runs recipes as stages that are done once and resume."""

from bertling.pipeline.ablation import ablate
from bertling.pipeline.comparison import compare
from bertling.pipeline.run import run

__all__ = ["ablate", "compare", "run"]
