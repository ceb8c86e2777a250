"""Which codecs at which rates a command is to run, and whether it can judge what comes back."""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from encodec_cli.cli.console import warn
from encodec_cli.errors import UsageError

if TYPE_CHECKING:
    from encodec_cli.evaluation.evaluate import Coded, Reference
    from encodec_cli.evaluation.other_codecs import OtherCodec
    from encodec_cli.model.codec import Codec

__all__ = [
    "Coding",
    "codings_of",
    "parse_against",
    "parse_bandwidths",
    "warn_of_missing_packages",
]

Coding = Callable[["Reference"], "Coded"]
"""A codec at one bandwidth."""


def parse_bandwidths(text: str | None) -> list[float] | None:
    """kb/s of --bandwidths; empty for "none", None if it was not given.

    Raises:
        UsageError: not a list of rates.
    """
    if text is None:
        return None
    return [] if text == "none" else _parse_rates(text, f"--bandwidths {text}", "3,6")


def parse_against(texts: Sequence[str] | None) -> "list[tuple[OtherCodec, float]]":
    """Codecs and kb/s of every --against.

    Raises:
        UsageError: not a list of rates, or a codec that is unknown or not installed.
    """
    if not texts:
        return []

    from encodec_cli.evaluation.other_codecs import find_codec

    found = []
    for text in texts:
        name, _, numbers = text.partition(":")
        codec = find_codec(name)
        rates = _parse_rates(numbers, f"--against {text}", f"{name}:6,12")
        found += [(codec, rate) for rate in rates]
    return found


def _parse_rates(text: str, where: str, example: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = [math.nan]
    if not all(0 < rate < math.inf for rate in rates):
        raise UsageError(f"{where}: give kb/s with commas between, such as {example}")
    return list(dict.fromkeys(rates))


def codings_of(
    model: "Codec",
    rates: Iterable[float] | None,
    others: "Iterable[tuple[OtherCodec, float]]",
    *,
    search: int | None = None,
    refine: bool = False,
    fit: int | None = None,
) -> list[Coding]:
    """`model` at each of `rates` (those it was made for if None), then the other codecs.

    Rates between two of the model's become the lower one, once.

    `search`, `refine` and `fit` are those of `stream_encoder`.

    Raises:
        UsageError: a rate that the model does not have, or nothing at all.
    """
    from encodec_cli.evaluation.evaluate import through_model, warm_up
    from encodec_cli.evaluation.other_codecs import through_codec

    # Refused now rather than for each recording.
    wanted = list(model.target_bandwidths if rates is None else rates)
    rates = list(dict.fromkeys(map(model.config.rate_below, wanted)))
    if rates:
        warm_up(model)
    codings: list[Coding] = [
        *(
            partial(
                through_model, model, bandwidth=rate, search=search, refine=refine, fit=fit or 0
            )
            for rate in rates
        ),
        *(partial(through_codec, codec, kbps=rate) for codec, rate in others),
    ]
    if not codings:
        raise UsageError("--bandwidths none: give --against, or there is nothing to measure")
    return codings


def warn_of_missing_packages(kinds: Iterable[str | None], speech: bool | None) -> None:
    """Say so, once, if there is speech to judge among `kinds` and not everything to do it with."""
    from encodec_cli.evaluation.evaluate import is_speech
    from encodec_cli.evaluation.metrics import missing_packages

    wanted = any(map(is_speech, kinds)) if speech is None else speech
    missing = missing_packages() if wanted else []
    if missing:
        warn(
            f"speech is measured without {' and '.join(missing)}; "
            f"run: pip install {' '.join(missing)}"
        )
