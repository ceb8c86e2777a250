"""The keys of a recipe that a run's course depends on, and what changed of them."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from encodec_cli.io.text import shown
from encodec_cli.train.config import TrainConfig

__all__ = ["changes", "course_of"]

# May change from one start to the next: how long, where to, and what is said about it.
_FREE = (
    *("steps", "decay", "output", "name", "licence", "training_data", "validate_every"),
    *("save_every_seconds", "data.validation", "data.cache", "precision"),
)


def course_of(config: TrainConfig) -> dict[str, Any]:
    """The keys that decide each step, flat, in plain values."""
    flat: dict[str, Any] = {}
    for name, value in json.loads(json.dumps(asdict(config))).items():
        inner = value if isinstance(value, dict) else {"": value}
        flat |= {f"{name}.{key}".rstrip("."): v for key, v in inner.items()}
    return {key: value for key, value in flat.items() if key not in _FREE}


def changes(before: Any, config: TrainConfig, step: int) -> Iterator[str]:
    """What to say of each key that had another value in `before`, until `step`."""
    if not isinstance(before, dict):
        return
    for key, now in course_of(config).items():
        if key in before and before[key] != now:
            yield (
                f"warning: {key} was {shown(before[key])} until step {step}, now it is "
                f"{shown(now)}; this is not the run that either would have made alone"
            )
