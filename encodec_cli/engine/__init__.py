"""Models of torch modules compiled for coding: the same numbers in less time."""

from encodec_cli.engine.stepper import TorchEngine

__all__ = ["TorchEngine"]
