"""Meta's `.th` checkpoints: a flat state without config, in the names that ours have as well.

Source of the layout: the state of `encodec.EncodecModel` (facebookresearch/encodec).
"""

import re
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from encodec_cli.checkpoints.foreign.folding import fold_weight_norms, unfold_state
from encodec_cli.checkpoints.foreign.identify import describe_tensors
from encodec_cli.checkpoints.foreign.naming import (
    META_MODELS,
    named_config,
    published_config,
    same_architecture,
)
from encodec_cli.checkpoints.foreign.shapes import told_by_shapes
from encodec_cli.checkpoints.foreign.told import Told
from encodec_cli.config.codec import CodecConfig
from encodec_cli.errors import CheckpointError, UsageError, parameter
from encodec_cli.io.text import printable

__all__ = ["MetaModel", "meta_identity", "meta_state", "read_meta", "rename_meta_state"]

_NORM_PARTS = (".weight_g", ".parametrizations.weight.original0")
_TRAINING_STATE = re.compile(
    r"^quantizer\.vq\.layers\.\d+\._codebook\.(inited|cluster_size|embed_avg)$"
)


@dataclass(frozen=True)
class MetaModel:
    """A codec without a config of its own: folded weights, and how they are to be run.

    `assumed` is the config without what was told.
    """

    config: CodecConfig
    assumed: CodecConfig
    state: dict[str, Tensor]


def read_meta(state: Mapping[str, Tensor], path: Path, told: Told) -> MetaModel:
    """The codec that tensors of Meta's names make, as their shapes and what was `told` say.

    Raises:
        CheckpointError: another model, or tensors that do not fit each other.
        ConfigError: what was told does not fit together.
        ValueError: see `rename_meta_state`.
    """
    if not any(name.startswith("encoder.model.0.conv.conv.") for name in state):
        raise CheckpointError(
            f"{path}: {describe_tensors(state)}"
            if describe_tensors(state)
            else f"{path}: not Meta's EnCodec nor of its networks; its first keys are "
            f"{', '.join(printable(name)[:60] for name in sorted(state)[:3]) or 'none'}"
        )
    folded = rename_meta_state(state)
    shapes = {name: tuple(value.shape) for name, value in folded.items()}
    normed = any(name.endswith(_NORM_PARTS) for name in state)
    data = told_by_shapes(shapes, normed=normed, where=str(path))
    return MetaModel(
        config=named_config(data, str(path), told),
        assumed=named_config(data, str(path), {}),
        state=folded,
    )


def rename_meta_state(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Fold the norms of weights, drop the codebooks' training state.

    Raises:
        ValueError: one half of a folded weight is missing or does not fit the other.
    """
    return fold_weight_norms({k: v for k, v in state.items() if not _TRAINING_STATE.match(k)})


def meta_identity(content: Any) -> str | None:
    """SHA-256 of the file that `meta_state` was made from, where the state says so."""
    metadata = getattr(content, "_metadata", None)
    root = metadata.get("", None) if isinstance(metadata, Mapping) else None
    identity = root.get("identity") if isinstance(root, Mapping) else None
    return identity if isinstance(identity, str) else None


def meta_state(
    config: CodecConfig, state: Mapping[str, Tensor], identity: str | None
) -> "OrderedDict[str, Tensor]":
    """What Meta's `EncodecModel.load_state_dict` takes, from folded weights of ours.

    `identity` goes where torch keeps the modules' versions, which loading ignores.

    Raises:
        UsageError: the model is not built like one of Meta's two.
    """
    like = next((m for m in META_MODELS if same_architecture(config, published_config(m))), None)
    if like is None:
        raise UsageError(
            f"{parameter('to', 'meta')}: {config.name} is not built like "
            f"{' or '.join(META_MODELS)}, the models of Meta's package; "
            f"{parameter('to', 'hf')} takes some others"
        )
    has_norms = published_config(like).seanet.norm == "weight_norm"
    normed = (".conv.conv.weight", ".convtr.convtr.weight") if has_norms else ()
    made = OrderedDict(unfold_state(state, normed))
    if identity is not None:
        made._metadata = {"": {"version": 1, "identity": identity}}  # type: ignore[attr-defined]
    return made
