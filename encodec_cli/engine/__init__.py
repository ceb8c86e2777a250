"""Models compiled for coding: the same numbers as the modules of `nn`, in less time."""

from encodec_cli.engine.stepper import Engine, ModelEngine, Stepper

__all__ = ["Engine", "ModelEngine", "Stepper"]
