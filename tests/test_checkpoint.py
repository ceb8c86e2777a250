"""Our checkpoints: what is saved comes back, and nothing else is taken for one."""

import json
import pickle
import struct
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_models import spread_codebooks, tiny_config, tiny_model, wave

from encodec_cli.checkpoints.card import bundled_models, file_sha256, find_model, read_card
from encodec_cli.checkpoints.modules import folded_state, load_model_file, load_module, save_model
from encodec_cli.errors import CheckpointError, OutputError, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.signals import decode, encode


def saved(model: CompressionModel, path: Path, **options: Any) -> Path:
    save_model(model, path, licence="MIT", training_data="noise", **options)
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A checkpoint of the tiny model, fp32."""
    return saved(tiny_model(), tmp_path / "tiny.safetensors", half=False)


def edit(path: Path, **changes: str | None) -> Path:
    """Change the metadata of a checkpoint; None removes a key."""
    metadata: dict[str, Any] = {**metadata_of(path), **changes}
    save_file(load_file(path), path, {k: v for k, v in metadata.items() if v is not None})
    return path


def metadata_of(path: Path) -> dict[str, str]:
    data = path.read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    metadata: dict[str, str] = json.loads(data[8 : 8 + size])["__metadata__"]
    return metadata


def edit_tensors(path: Path, **changes: Any) -> Path:
    """Change, add or (None) remove tensors."""
    metadata, state = metadata_of(path), {**load_file(path), **changes}
    save_file({k: v for k, v in state.items() if v is not None}, path, metadata)
    return path


CONV = "encoder.model.0.conv.conv.weight"


def test_fp32_comes_back_bit_for_bit(tmp_path: Path) -> None:
    model = tiny_model(seanet={"lstm": 1})
    loaded = load_module(saved(model, tmp_path / "m.safetensors", half=False))
    assert loaded.config == model.config
    for name, value in folded_state(model).items():
        if not name.endswith(("inited", "cluster_size", "embed_avg")):
            assert torch.equal(loaded.state_dict()[name], value), name
    wav = torch.from_numpy(wave(500))
    ours, theirs = encode(model, wav), encode(loaded, wav)
    np.testing.assert_array_equal(ours.codes, theirs.codes)
    assert torch.equal(decode(model, ours), decode(loaded, replace(ours, header=theirs.header)))


def test_fp16_comes_back_within_its_rounding(tmp_path: Path) -> None:
    model = tiny_model()
    path = saved(model, tmp_path / "m.safetensors")
    loaded = load_module(path)
    assert read_card(path).dtype == "F16"
    for name, value in loaded.state_dict().items():
        assert value.dtype == torch.float32
        if not name.endswith(("inited", "cluster_size", "embed_avg")):
            original = model.state_dict()[name]
            assert torch.equal(value, original.half().float()), name
            torch.testing.assert_close(value, original, rtol=2**-11, atol=2**-25)
    again = saved(loaded, tmp_path / "again.safetensors")
    assert file_sha256(again) == file_sha256(path)


@pytest.mark.parametrize("norm", ["weight_norm", "spectral_norm"])
def test_norms_of_weights_are_folded_away(tmp_path: Path, norm: str) -> None:
    model = CompressionModel(tiny_config(seanet={"norm": norm, "lstm": 1})).eval()
    spread_codebooks(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(1.3)
    path = saved(model, tmp_path / "m.safetensors", half=False)
    loaded = load_module(path)
    assert loaded.config.seanet.norm == loaded.config.decoder.norm == "none"
    assert not any("parametrizations" in name for name in loaded.state_dict())
    x, z = torch.randn(1, 1, 60), torch.randn(1, 6, 5)
    with torch.no_grad():
        assert torch.equal(loaded.encoder(x), model.encoder(x))
        assert torch.equal(loaded.decoder(z), model.decoder(z))


@pytest.mark.parametrize("norm", ["layer_norm", "time_group_norm"])
def test_norm_layers_stay(tmp_path: Path, norm: str) -> None:
    model = tiny_model(seanet={"norm": norm, "causal": False}, segment_seconds=0.06)
    loaded = load_module(saved(model, tmp_path / "m.safetensors", half=False))
    assert loaded.config == model.config
    x = torch.randn(1, 1, 60)
    assert torch.equal(loaded.encoder(x), model.encoder(x))


def test_a_loaded_model_is_ready_to_code(path: Path) -> None:
    model = load_module(path)
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())
    assert model.sha256 == file_sha256(path)
    assert load_model_file(path).sha256 is None
    assert (
        load_module(str(path), dtype=torch.float64)
        .decode(torch.zeros(1, 1, 2, dtype=torch.long))
        .dtype
        == torch.float64
    )


def test_the_same_model_is_the_same_file(tmp_path: Path) -> None:
    """`.ecdc` files name their model by its hash."""
    model = tiny_model()
    files = [saved(model, tmp_path / f"{i}.safetensors").read_bytes() for i in range(6)]
    assert len(set(files)) == 1
    assert int.from_bytes(files[0][:8], "little") % 8 == 0


def test_training_goes_on_from_the_loaded_codebooks(path: Path) -> None:
    model = load_module(path).train()
    before = [book.embed.clone() for book in model.quantizer.codebooks]
    x = torch.randn(1, 1, 24)
    codes = model.eval().encode(x)[0][0]
    for book in model.quantizer.codebooks:
        book.threshold_ema_dead_code = 0.0
    model.train()(x)
    for book, old, used in zip(model.quantizer.codebooks, before, codes, strict=True):
        unused = [i for i in range(16) if i not in used.tolist()]
        torch.testing.assert_close(book.embed[unused], old[unused], rtol=1e-3, atol=1e-4)


def test_codebooks_with_orthogonality_come_back(tmp_path: Path) -> None:
    model = tiny_model(quantizer={"n_q": 3, "bins": 16, "orthogonal_reg_weight": 1.0})
    loaded = load_module(saved(model, tmp_path / "m.safetensors", half=False))
    for a, b in zip(model.quantizer.codebooks, loaded.quantizer.codebooks, strict=True):
        assert torch.equal(a.embed, b.embed)


def test_the_card_says_what_was_saved(tmp_path: Path) -> None:
    model = tiny_model()
    path = tmp_path / "m.safetensors"
    save_model(
        model,
        path,
        licence="CC0-1.0",
        training_data="nothing",
        metrics={"mel": 1.5},
        identity="ab" * 32,
        half=False,
    )
    card = read_card(path)
    assert (card.name, card.path, card.config) == ("tiny", path, model.config)
    assert (card.licence, card.training_data) == ("CC0-1.0", "nothing")
    assert card.metrics == {"mel": 1.5}
    assert card.identity == "ab" * 32
    assert card.dtype == "F32"
    assert card.parameters == sum(v.numel() for v in load_file(path).values())
    assert load_module(path).sha256 == "ab" * 32


def test_nothing_is_overwritten_unless_asked(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        saved(tiny_model(), path)
    assert path.read_bytes() == before
    saved(tiny_model(), path, force=True)
    assert path.read_bytes() != before


def test_weights_that_fp16_cannot_hold_are_not_saved(tmp_path: Path) -> None:
    model = tiny_model()
    model.encoder.model[0].conv.conv.weight.data[0, 0, 0] = 1e6
    path = tmp_path / "m.safetensors"
    with pytest.raises(CheckpointError, match=f"{CONV}: not finite in fp16; save in fp32"):
        saved(model, path)
    assert not path.exists()
    saved(model, path, half=False)
    model.encoder.model[0].conv.conv.weight.data[0, 0, 0] = torch.nan
    with pytest.raises(CheckpointError, match=f"{CONV}: not finite$"):
        saved(model, path, half=False, force=True)


# ---- finding


def test_names_and_paths_are_found(path: Path, tmp_path: Path) -> None:
    assert find_model(path) == path
    for name in bundled_models():
        assert find_model(name).stem == name
    with pytest.raises(CheckpointError, match="no such file or bundled model; "):
        find_model("no-such-model-at-all")
    with pytest.raises(CheckpointError, match="is a folder; name a checkpoint file inside it"):
        load_module(tmp_path)


def test_the_nearest_name_is_suggested(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ecli_24khz.safetensors").touch()
    monkeypatch.setattr("encodec_cli.checkpoints.card.checkpoints_folder", lambda: tmp_path)
    with pytest.raises(CheckpointError, match=r"did you mean ecli_24khz\?"):
        find_model("ecil_24khz")
    with pytest.raises(CheckpointError, match="bundled models: ecli_24khz"):
        find_model("zzz")


def test_a_device_that_is_not_there_is_named(path: Path) -> None:
    for device in ("cuda:99", "no-such-device"):
        with pytest.raises(UsageError, match=f"device={device}: cannot be used here"):
            load_module(path, device=device)


# ---- what is no checkpoint


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"\x00" * 7, "not a readable safetensors file"),
        (bytes(range(256)) * 40, "not a readable safetensors file"),
        (b"<!DOCTYPE html><html>404</html>", "an HTML page under this name"),
        (pickle.dumps({"a": 1}, protocol=4), "not a readable safetensors file"),
        (b"PK\x03\x04" + b"\x00" * 100, "not a readable checkpoint"),
        (b"\x80\x02\x8a\x0a" + b"\x00" * 100, "not a readable checkpoint"),
        (struct.pack("<Q", 1 << 60) + b"{}", "not a readable safetensors file"),
    ],
    ids=["empty", "zeros", "bytes", "html", "pickle", "zip", "legacy", "huge-header"],
)
def test_foreign_files_are_refused(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "odd.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_module(path)
    assert str(caught.value).startswith(str(path))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("share", [0.001, 0.1, 0.5, 0.999])
def test_truncated_files_are_refused(path: Path, share: float) -> None:
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_module(path)


def test_other_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bert.safetensors"
    save_file({"embeddings": torch.zeros(2, 2)}, path)
    with pytest.raises(CheckpointError, match="but not a model of encodec-cli"):
        load_module(path)


def test_a_file_of_another_format_has_no_card(path: Path) -> None:
    with pytest.raises(CheckpointError, match="but not a model of encodec-cli"):
        read_card(edit(path, format="other"))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format_version": "2"}, "format version 2; this program reads 1; upgrade"),
        ({"format_version": None}, "format version None; this program reads 1"),
        ({"config": None}, "damaged metadata: 'config'"),
        ({"config": "{"}, "damaged metadata"),
        ({"config": "5"}, "damaged metadata: .*not a mapping"),
        ({"config": "[" * 100_000}, "damaged metadata"),
        ({"config": '{"name": "x"}'}, "damaged metadata: .*seanet: missing"),
        ({"metrics": "{"}, "damaged metadata"),
    ],
)
def test_damaged_metadata_is_named(path: Path, changes: dict[str, Any], message: str) -> None:
    edit(path, **changes)
    with pytest.raises(CheckpointError, match=message):
        load_module(path)
    with pytest.raises(CheckpointError, match=message):
        read_card(path)


def test_missing_and_left_over_tensors_are_named(path: Path) -> None:
    edit_tensors(path, **{CONV: None, "extra.one": torch.zeros(1), "extra.two": torch.zeros(1)})
    with pytest.raises(
        CheckpointError, match=rf"does not fit tiny: missing {CONV}; left over extra.one, extra.two"
    ):
        load_module(path)


def test_other_shapes_are_named(path: Path) -> None:
    edit_tensors(path, **{CONV: torch.zeros(4, 1, 9)})
    with pytest.raises(CheckpointError, match=rf"{CONV}: shape \(4, 1, 9\), tiny has \(4, 1, 7\)"):
        load_module(path)


@pytest.mark.parametrize("value", [torch.nan, torch.inf])
def test_weights_that_are_not_finite_are_named(path: Path, value: float) -> None:
    edit_tensors(path, **{CONV: torch.full((4, 1, 7), value)})
    with pytest.raises(CheckpointError, match=f"{CONV}: holds numbers that are not finite"):
        load_module(path)


def test_whole_numbers_are_no_weights(path: Path) -> None:
    edit_tensors(path, **{CONV: torch.zeros(4, 1, 7, dtype=torch.int32)})
    with pytest.raises(CheckpointError, match=f"{CONV}: holds numbers that are not finite"):
        load_module(path)
