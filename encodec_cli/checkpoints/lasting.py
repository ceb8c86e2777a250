"""Weights to code with that stay: what they code can be decoded only with them."""

from pathlib import Path

from encodec_cli.checkpoints.card import read_card
from encodec_cli.checkpoints.foreign.identify import identify
from encodec_cli.entropy.library import SUFFIX as CODES_SUFFIX
from encodec_cli.errors import CheckpointError, OutputError
from encodec_cli.io.files import atomic_output
from encodec_cli.io.kept import is_kept, keep

__all__ = ["keep_weights", "lasting_weights"]


def lasting_weights(path: Path) -> Path:
    """`path`, or the kept copy of weights that a training run will replace; see `keep_weights`.

    Raises:
        CheckpointError: no copy can be kept beside them; damaged weights.
    """
    # A run has its state beside its weights. Weights elsewhere are copies, which stay.
    if not path.is_file() or not (path.parent / "state.pt").is_file() or identify(path) != "ours":
        return path
    if not read_card(path).unfinished or is_kept(path):
        return path
    try:
        return keep_weights(path)
    except OutputError as error:
        raise CheckpointError(
            f"{path}: a training run will replace these weights, which what they code needs; no "
            f"copy can be kept beside them ({error}); copy them to another folder and use that"
        ) from error


def keep_weights(path: Path) -> Path:
    """A copy of the weights in `path` under a name that stays, their code model's as well.

    The name, `model-1f09ab34cd56.safetensors`, begins the SHA-256 that `.ecdc` files say.

    Raises:
        OutputError: it cannot be written.
        OSError: `path` cannot be read.
    """
    kept = keep(path)
    codes, kept_codes = path.with_suffix(CODES_SUFFIX), kept.with_suffix(CODES_SUFFIX)
    if codes.is_file() and not kept_codes.exists():
        data = codes.read_bytes()
        with atomic_output(kept_codes, force=True) as copy:
            copy.write(data)
    return kept
