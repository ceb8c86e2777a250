"""What people offer as a checkpoint by mistake is called what it is, on one line."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from cli_samples import run
from safetensors.torch import save_file

from encodec_cli.checkpoints.foreign import identify
from encodec_cli.checkpoints.modules import load_module
from encodec_cli.errors import CheckpointError

ONE = torch.zeros(1)
DAC = {"encoder.block.0.weight_g": ONE, "quantizer.quantizers.0.in_proj.weight_v": ONE}
SNAC = {
    "encoder.block.0.parametrizations.weight.original0": ONE,
    "quantizer.quantizers.0.codebook.weight": ONE,
}
MIMI = {"encoder_transformer.layers.0.x": ONE, "encoder.layers.0.conv.weight": ONE}
MIMI_KYUTAI = {"quantizer.rvq_first.vq.layers.0._codebook.embedding_sum": ONE}
MUSICGEN = {"audio_encoder.encoder.layers.0.conv.weight_g": ONE, "decoder.x": ONE}
META_LM = {"transformer.norm_in.weight": ONE, "emb.0.weight": ONE, "linears.0.weight": ONE}
AUDIOCRAFT_LM = {"emb.0.weight": ONE, "out_norm.weight": ONE, "transformer.layers.0.x": ONE}


def raw(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


def torch_file(content: Any) -> Callable[[Path], object]:
    return lambda path: torch.save(content, path)


def tensors(state: dict[str, Any]) -> Callable[[Path], object]:
    return lambda path: save_file(
        {name: value.clone() for name, value in state.items()}, path, {"format": "pt"}
    )


LFS = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 59\n"
WRONG: dict[str, tuple[Callable[[Path], object], str]] = {
    "empty": (raw(b""), "is empty; download or copy it again"),
    "lfs": (raw(LFS), "a Git LFS pointer, not the weights; run: git lfs pull"),
    "html": (raw(b"<!DOCTYPE html>\n<html><title>404</title>"), "an HTML page under this name"),
    "html-blank": (raw(b"\n\n  <HTML>"), "an HTML page under this name"),
    "xml": (raw(b'<?xml version="1.0"?><Error>AccessDenied</Error>'), "an XML page"),
    "json": (raw(b'{"model_type": "encodec"}'), "JSON text, not weights; name the folder"),
    "ggml": (raw(b"lmgg" + bytes(40)), "a GGML file"),
    "gguf": (raw(b"GGUF" + bytes(40)), "a GGUF file"),
    "onnx": (raw(b"\x08\x08\x12\x07pytorch\x1a\x052.1.0:" + bytes(40)), "an ONNX graph"),
    "ecdc": (raw(b"ECDC" + bytes(40)), "coded audio, not a model"),
    "noise": (raw(bytes(range(200, 240)) * 9), "neither a file of torch.save nor of safetensors"),
    "dac": (torch_file({"state_dict": DAC, "metadata": {"kwargs": {}}}), r"audiotools.*\(DAC\)"),
    "dac-flat": (torch_file(DAC), r"weights of the Descript Audio Codec \(DAC\)"),
    "dac-safe": (tensors(DAC), r"weights of the Descript Audio Codec \(DAC\)"),
    "snac": (torch_file(SNAC), "weights of SNAC"),
    "snac-safe": (tensors(SNAC), "weights of SNAC"),
    "mimi": (tensors(MIMI), r"weights of Mimi \(Moshi\)"),
    "mimi-kyutai": (tensors(MIMI_KYUTAI), r"weights of Mimi \(Moshi\)"),
    "musicgen": (tensors(MUSICGEN), "weights of a whole MusicGen"),
    "meta-lm": (torch_file(META_LM), "Meta's language model for EnCodec, not a codec"),
    "audiocraft-lm": (torch_file(AUDIOCRAFT_LM), r"a language model of audiocraft \(state_dict"),
    "lm-trunk": (torch_file({"transformer.layers.0.x": ONE}), "a language model of audiocraft"),
    "pointer": (torch_file({"pretrained": "facebook/encodec_32khz"}), "only a pointer"),
    "safetensors": (tensors({"bert": ONE}), "but not a model of encodec-cli"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_files_are_named_for_what_they_are(case: str, tmp_path: Path) -> None:
    make, message = WRONG[case]
    path = tmp_path / "model.bin"
    make(path)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_module(path)
    text = str(caught.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    assert len(text) < 260 + len(str(path))
    run("models", "show", path).refused(1, str(path))


def test_an_onnx_file_is_known_by_its_name_too(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(bytes(100))
    with pytest.raises(CheckpointError, match="an ONNX graph"):
        load_module(path)


def test_short_safetensors_headers_are_not_taken_for_graphs(tmp_path: Path) -> None:
    """Their first byte, the header's length, can be that of a protobuf."""
    for length in range(8, 300, 8):
        header = json.dumps({"__metadata__": {"format": "encodec-cli"}}).encode()
        path = tmp_path / "m.safetensors"
        path.write_bytes(length.to_bytes(8, "little") + header.ljust(length)[:length])
        if length >= len(header):
            assert identify(path) == "ours"


def test_folders_need_a_config(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a folder; name a checkpoint file inside it"):
        load_module(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    assert identify(tmp_path) == "huggingface"
    with pytest.raises(CheckpointError, match="cannot read: No such file"):
        identify(tmp_path / "gone")
