"""Meta's `.th` files: recognised, folded, never executed; converted ones stay the same model."""

import os
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from meta_models import FILTER, meta_model, music, save_state
from torch import Tensor, nn

from encodec_cli.checkpoints.card import file_sha256, read_card
from encodec_cli.checkpoints.foreign import identify
from encodec_cli.checkpoints.foreign.foreign import read_foreign
from encodec_cli.checkpoints.foreign.meta import rename_meta_state
from encodec_cli.checkpoints.modules import (
    build_and_load,
    convert_checkpoint,
    load_module,
    save_model,
)
from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import load_codec_config
from encodec_cli.container import read_ecdc, write_ecdc
from encodec_cli.errors import CheckpointError, OutputError, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.signals import decode, encode

pytestmark = pytest.mark.filterwarnings(FILTER)

FIRST = "encoder.model.0.conv.conv"


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    """A state in Meta's 24 kHz layout with random weights, made without Meta's package."""
    torch.manual_seed(3)
    config = load_codec_config(configs_folder() / "encodec_24khz.yaml")
    model = CompressionModel(config)
    made: dict[str, Tensor] = {}
    for name, value in model.state_dict().items():
        name = name.replace("parametrizations.weight.original0", "weight_g")
        made[name.replace("parametrizations.weight.original1", "weight_v")] = value
    for name, value in made.items():
        if name.endswith("_codebook.embed"):
            made[name] = torch.randn_like(value)
    return made


@pytest.fixture
def th(state: dict[str, Tensor], tmp_path: Path) -> Path:
    path = tmp_path / "encodec_24khz-d7cc33bc.th"
    torch.save(state, path)
    return path


@pytest.mark.slow
def test_the_layout_made_here_is_metas(state: dict[str, Tensor]) -> None:
    meta = meta_model("encodec_24khz").state_dict()
    assert {k: v.shape for k, v in meta.items()} == {k: v.shape for k, v in state.items()}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["encodec_24khz", "encodec_48khz"])
def test_metas_models_are_told_apart(name: str, tmp_path: Path) -> None:
    path = save_state(meta_model(name), tmp_path / "any_name.th")
    assert identify(path) == "torch"
    foreign = read_foreign(path, "torch")
    card, folded = foreign.card, foreign.state
    assert not any(key.endswith(("_g", "_v")) for key in folded)
    assert (card.name, card.dtype, card.identity) == (name, "F32", file_sha256(path))
    assert card.parameters == sum(value.numel() for value in folded.values())
    model = load_module(path)
    assert model.sha256 == file_sha256(path)
    assert not model.training


def test_folding_is_torchs_weight_norm() -> None:
    for layer, make in (
        (nn.Conv1d(3, 5, 4), nn.utils.parametrizations.weight_norm),
        (nn.ConvTranspose1d(3, 5, 4), nn.utils.parametrizations.weight_norm),
    ):
        make(layer)
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.mul_(1.7)
        state = dict(layer.state_dict())
        folded = rename_meta_state(
            {
                "x.weight_g": state["parametrizations.weight.original0"],
                "x.weight_v": state["parametrizations.weight.original1"],
                "x.bias": state["bias"],
            }
        )
        assert torch.equal(folded["x.weight"], layer.weight)
        v = state["parametrizations.weight.original1"]
        by_hand = (
            state["parametrizations.weight.original0"] * v / v.flatten(1).norm(dim=1)[:, None, None]
        )
        torch.testing.assert_close(folded["x.weight"], by_hand)
        assert torch.equal(folded["x.bias"], layer.bias)
        assert len(folded) == 2


def test_training_state_of_codebooks_is_dropped() -> None:
    prefix = "quantizer.vq.layers.3._codebook."
    kept = rename_meta_state(
        {prefix + name: torch.zeros(1) for name in ("inited", "cluster_size", "embed_avg", "embed")}
    )
    assert list(kept) == [prefix + "embed"]


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ({"a.weight_v": torch.ones(2, 2, 2)}, "missing a.weight_g beside a.weight_v"),
        ({"a.weight_g": torch.ones(2, 1, 1)}, "missing a.weight_v beside a.weight_g"),
        (
            {"a.weight_v": torch.ones(2, 2, 2), "a.weight_g": torch.ones(3, 1, 1)},
            r"a.weight_g: shape \(3, 1, 1\) does not fit a.weight_v",
        ),
        ({"a.weight_v": torch.tensor(1.0), "a.weight_g": torch.tensor(1.0)}, "does not fit"),
    ],
)
def test_halves_of_weights_must_fit(state: dict[str, Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rename_meta_state(state)


@pytest.mark.slow
def test_a_converted_model_is_the_same_model(th: Path, tmp_path: Path) -> None:
    target = tmp_path / "mine.safetensors"
    card = convert_checkpoint(th, target)
    assert (card.name, card.dtype) == ("encodec_24khz", "F32")
    assert card.licence.startswith("MIT (Meta's published EnCodec weights")
    assert card.identity == file_sha256(th)
    original, converted = load_module(th), load_module(target)
    assert original.sha256 == converted.sha256 == file_sha256(th)
    for (name, a), (other, b) in zip(
        sorted(original.state_dict().items()), sorted(converted.state_dict().items()), strict=True
    ):
        assert name == other
        assert torch.equal(a, b), name

    # A file made with either decodes with both, to the same samples.
    wav = torch.from_numpy(music(3000, 1, 24000))
    outputs = []
    for i, maker in enumerate((original, converted)):
        path = tmp_path / f"{i}.ecdc"
        write_ecdc(path, encode(maker, wav, bandwidth=3))
        outputs += [decode(model, read_ecdc(path)) for model in (original, converted)]
    assert all(torch.equal(outputs[0], out) for out in outputs)


@pytest.mark.slow
def test_converting_again_keeps_the_identity(th: Path, tmp_path: Path) -> None:
    first, second = tmp_path / "a.safetensors", tmp_path / "b.safetensors"
    convert_checkpoint(th, first, licence="mine")
    card = convert_checkpoint(first, second, half=True)
    assert card.identity == file_sha256(th)
    assert (card.dtype, card.licence) == ("F16", "mine")
    assert second.stat().st_size < 0.51 * first.stat().st_size


@pytest.mark.slow
def test_targets_are_checked_before_the_work(th: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"our checkpoints end in \.safetensors"):
        convert_checkpoint(th, tmp_path / "mine.th")
    target = tmp_path / "mine.safetensors"
    target.write_text("precious")
    with pytest.raises(OutputError, match="exists already"):
        convert_checkpoint(th, target)
    assert target.read_text() == "precious"


@pytest.mark.slow
def test_legacy_files_load(state: dict[str, Tensor], th: Path, tmp_path: Path) -> None:
    """As torch wrote them before 1.6."""
    path = tmp_path / "old.th"
    torch.save(state, path, _use_new_zipfile_serialization=False)
    assert identify(path) == "torch"
    old, new = load_module(path), load_module(th)
    assert all(torch.equal(v, new.state_dict()[k]) for k, v in old.state_dict().items())


# ---- what is not Meta's


class RunsCode:
    """Unpickling this runs a command that leaves a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


@pytest.mark.parametrize("new_format", [True, False], ids=["zip", "legacy"])
def test_code_in_a_pickle_does_not_run(tmp_path: Path, new_format: bool) -> None:
    mark, path = tmp_path / "ran", tmp_path / "evil.th"
    content = {f"{FIRST}.weight_g": torch.zeros(1), "x": RunsCode(mark)}
    torch.save(content, path, _use_new_zipfile_serialization=new_format)
    with pytest.raises(CheckpointError, match="it holds Python objects, which could run code"):
        load_module(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)  # the trap is real
    assert mark.exists()


def test_modules_are_not_unpickled(tmp_path: Path) -> None:
    path = tmp_path / "module.th"
    torch.save(nn.Linear(2, 2), path)
    with pytest.raises(CheckpointError, match="it holds Python objects"):
        load_module(path)


@pytest.mark.parametrize(
    "content",
    [5, [torch.zeros(2)], {"model": {"a": torch.zeros(1)}}, {"a": 1}, {1: torch.zeros(1)}],
)
def test_what_is_not_flat_tensors_is_refused(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "odd.th"
    torch.save(content, path)
    with pytest.raises(CheckpointError, match="not a flat dictionary of tensors"):
        load_module(path)


@pytest.mark.parametrize("content", [{}, {"emb.0.weight": torch.zeros(2, 2)}])
def test_other_models_are_refused_by_their_keys(tmp_path: Path, content: Any) -> None:
    path = tmp_path / "lm.th"
    torch.save(content, path)
    with pytest.raises(
        CheckpointError, match=r"not Meta's EnCodec nor of .* first keys are (none|emb\.0\.weight)"
    ):
        load_module(path)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (torch.zeros(32, 1, 7).to_sparse(), "not a plain tensor"),
        (torch.zeros(32, 1, 7, device="meta"), "not a plain tensor"),
        (torch.zeros(32, 1, 7, dtype=torch.complex64), r"holds torch\.complex64"),
        (torch.zeros(32, 1, 7, dtype=torch.bool), r"holds torch\.bool"),
        (torch.zeros(1, 1, 1).expand(32, 1 << 20, 1 << 20), "larger than the file"),
    ],
    ids=["sparse", "meta", "complex", "bool", "expanded"],
)
def test_odd_tensors_are_refused(tmp_path: Path, value: Tensor, message: str) -> None:
    path = tmp_path / "odd.th"
    torch.save({f"{FIRST}.weight_g": torch.zeros(32, 1, 1), f"{FIRST}.weight_v": value}, path)
    with pytest.raises(CheckpointError, match=f"{FIRST}.weight_v: {message}"):
        load_module(path)


@pytest.mark.slow
def test_missing_keys_wrong_shapes_and_nan_are_named(
    state: dict[str, Tensor], tmp_path: Path
) -> None:
    def refused(message: str, **changes: Tensor | None) -> None:
        path = tmp_path / "changed.th"
        torch.save({k: v for k, v in {**state, **changes}.items() if v is not None}, path)
        with pytest.raises(CheckpointError, match=message):
            load_module(path)

    bias = f"{FIRST}.bias"
    refused(f"does not fit encodec_24khz: missing {bias}; left over nothing", **{bias: None})
    refused("missing nothing; left over more", more=torch.zeros(1))
    refused(rf"{bias}: shape \(3,\), encodec_24khz has \(32,\)", **{bias: torch.zeros(3)})
    refused(f"{bias}: holds numbers that are not finite", **{bias: torch.full((32,), torch.nan)})
    refused("missing .*weight_v beside", **{f"{FIRST}.weight_v": None})
    refused("missing .*weight_g beside", **{"decoder.model.3.convtr.convtr.weight_g": None})
    # weight_norm of a zero direction is 0 / 0
    zero = torch.zeros_like(state[f"{FIRST}.weight_v"])
    refused(f"{FIRST}.weight: holds numbers that are not finite", **{f"{FIRST}.weight_v": zero})


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.01, 0.5, 0.999])
def test_truncated_files_are_refused(th: Path, share: float) -> None:
    data = th.read_bytes()
    th.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match="not a readable checkpoint"):
        load_module(th)


def test_an_archive_that_unpacks_to_far_more_is_not_unpacked(tmp_path: Path) -> None:
    path = tmp_path / "bomb.th"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", b"\0" * (8 << 20))
    assert path.stat().st_size < 1 << 15
    with pytest.raises(CheckpointError, match="unpacks to 8388608 bytes; not a checkpoint"):
        load_module(path)


def test_missing_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"gone\.th: cannot read: No such file"):
        identify(tmp_path / "gone.th")


@pytest.mark.slow
def test_fp16_codes_like_its_own_weights(state: dict[str, Tensor], tmp_path: Path) -> None:
    """Half precision is storage only: the network computes in fp32 with rounded weights."""
    config = load_codec_config(configs_folder() / "encodec_24khz.yaml")
    model = build_and_load(config, rename_meta_state(state), "state")
    path = tmp_path / "half.safetensors"
    save_model(model, path, licence="MIT", training_data="none")
    rounded = {k: v.half().float() for k, v in rename_meta_state(state).items()}
    expected = build_and_load(config, rounded, "rounded")
    wav = torch.from_numpy(music(2000, 1, 24000))
    np.testing.assert_array_equal(encode(load_module(path), wav).codes, encode(expected, wav).codes)
    assert read_card(path).dtype == "F16"
