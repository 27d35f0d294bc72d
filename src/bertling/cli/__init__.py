"""The command line: a thin skin over the pipeline. Commands import torch only when they need it."""

from bertling.cli.app import main

__all__ = ["main"]
