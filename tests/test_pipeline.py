"""Files to files, called from Python: what the command line cannot show."""

import io
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cases import mostly_slow
from cli_samples import RATE, make_model, mono_config, stereo_config, write_audio, write_model

from encodec_cli.checkpoints.load import load_model
from encodec_cli.container import CodeChunk, EcdcWriter, read_ecdc
from encodec_cli.errors import ContainerError
from encodec_cli.model.module import CompressionModel
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
from encodec_cli.pipeline.encode import EncodeOptions, encode_file
from encodec_cli.stream.headers import header_for
from encodec_cli.stream.signals import decode, encode


@pytest.fixture(scope="module")
def model() -> CompressionModel:
    return make_model(mono_config())


def packed(
    path: Path, model: CompressionModel, *, samples: int, rate: int, source_samples: int | None
) -> Path:
    """A file with good checksums that says what it is told to say."""
    file = io.BytesIO()
    header = replace(header_for(model.codec(), 2), source_sample_rate=rate, source_channels=1)
    writer = EcdcWriter(file, header)
    frames = -(-samples // header.hop)
    writer.write(CodeChunk(np.zeros((2, frames), np.uint16)))
    writer.finish(samples, source_samples)
    path.write_bytes(file.getvalue())
    return path


def test_files_hold_what_python_computes(tmp_path: Path, model: CompressionModel) -> None:
    import torch

    source = write_audio(tmp_path / "a.wav", 60_000)
    report = encode_file(model, source, tmp_path / "a.ecdc", EncodeOptions(n_q=4))
    wav = torch.from_numpy(soundfile.read(source, dtype="float32")[0])[None]
    whole = encode(model, wav, n_q=4)
    stored = read_ecdc(tmp_path / "a.ecdc")
    np.testing.assert_array_equal(stored.codes, whole.codes)
    assert report.bytes == (tmp_path / "a.ecdc").stat().st_size
    assert report.kbps == pytest.approx(report.bytes * 8 / 2.5 / 1000)

    options = DecodeOptions(encoding="float")
    decode_file(model, tmp_path / "a.ecdc", tmp_path / "b.wav", options)
    samples = soundfile.read(tmp_path / "b.wav", dtype="float32")[0]
    np.testing.assert_array_equal(samples, decode(model, stored)[0].numpy())


@pytest.mark.parametrize("make", [mono_config, stereo_config])
@pytest.mark.parametrize("options", mostly_slow([{"search": 4}, {}, {"n_q": 2}]))
def test_two_threads_give_the_bytes_of_one(tmp_path: Path, make: Any, options: Any) -> None:
    """On torch too, whose own threads are those that it was given."""
    model = make_model(make())
    source = write_audio(tmp_path / "a.wav", 3 * model.sample_rate + 77, rate=model.sample_rate)
    found = []
    for threads in (1, 2):
        coded, decoded = tmp_path / f"{threads}.ecdc", tmp_path / f"{threads}.wav"
        choice = EncodeOptions(**{"n_q": 4, **options})
        encode_file(model, source, coded, choice, threads=threads)
        for rescale in (False, True):
            how = DecodeOptions(encoding="float", rescale=rescale, force=True)
            decode_file(model, coded, decoded, how, threads=threads)
            found.append(decoded.read_bytes())
        found.append(coded.read_bytes())
    assert found[:3] == found[3:]


def test_an_error_while_two_threads_code_leaves_nothing(
    tmp_path: Path, model: CompressionModel
) -> None:
    source, before = write_audio(tmp_path / "a.wav", 5 * RATE), threading.active_count()

    def fails(done: float, total: float | None) -> None:
        if done > 2:
            raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more") as failure:
        encode_file(
            model, source, tmp_path / "a.ecdc", EncodeOptions(n_q=1), threads=2, progress=fails
        )
    assert failure.traceback
    assert threading.active_count() == before
    assert [path.name for path in tmp_path.iterdir()] == ["a.wav"]


def test_progress_counts_up_to_the_length(tmp_path: Path, model: CompressionModel) -> None:
    source = write_audio(tmp_path / "a.wav", 100_000, rate=16_000)
    seen: list[tuple[float, float | None]] = []
    encode_file(
        model,
        source,
        tmp_path / "a.ecdc",
        EncodeOptions(n_q=1),
        progress=lambda done, total: seen.append((done, total)),
    )
    done = [d for d, _ in seen]
    assert done == sorted(done)
    assert len(done) > 10
    assert done[-1] == 6.25
    assert {total for _, total in seen} == {6.25}


@pytest.mark.parametrize("source_samples", [1 << 47, 100_000, 8010, 7990, 5, 1])
def test_a_source_length_that_contradicts_the_audio_is_refused(
    tmp_path: Path, model: CompressionModel, source_samples: int
) -> None:
    """Regression: one 2^47 long asked for 512 TiB of memory."""
    path = packed(
        tmp_path / "a.ecdc", model, samples=RATE, rate=8000, source_samples=source_samples
    )
    with pytest.raises(ContainerError, match=f"a.ecdc: says {source_samples} samples .* 8000 Hz"):
        decode_file(model, path, tmp_path / "b.wav", DecodeOptions(sample_rate="source"))
    assert not (tmp_path / "b.wav").exists()
    report = decode_file(model, path, tmp_path / "b.wav", DecodeOptions())
    assert report.samples == RATE


@pytest.mark.parametrize("source_samples", [None, 8000, 7999])
def test_a_source_length_that_fits_is_kept(
    tmp_path: Path, model: CompressionModel, source_samples: int | None
) -> None:
    path = packed(
        tmp_path / "a.ecdc", model, samples=RATE, rate=8000, source_samples=source_samples
    )
    report = decode_file(model, path, tmp_path / "b.wav", DecodeOptions(sample_rate="source"))
    assert report.samples == soundfile.info(tmp_path / "b.wav").frames == (source_samples or 8000)


@pytest.mark.parametrize("samples", [1, 2, 3, 7, 1000, 44_099, 44_100, 44_101, 100_003])
@pytest.mark.parametrize("rate", mostly_slow([44_100, 47_999, 11_025, 22_050, 192_000], 2))
def test_source_length_comes_back_at_odd_ratios(
    tmp_path: Path, model: CompressionModel, rate: int, samples: int
) -> None:
    source = write_audio(tmp_path / "a.wav", samples, rate=rate)
    encode_file(model, source, tmp_path / "a.ecdc", EncodeOptions(n_q=1))
    options = DecodeOptions(sample_rate="source", encoding="float")
    report = decode_file(model, tmp_path / "a.ecdc", tmp_path / "b.wav", options)
    assert (report.samples, report.sample_rate) == (samples, rate)
    assert report.seconds == samples / rate


@pytest.mark.parametrize("engine", ["torch", "numpy"])
def test_nothing_runs_beside_a_network_that_takes_all_threads(
    engine: str, tmp_path: Path, model: CompressionModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--threads N` are N threads: torch's network has them all, and the search waits."""
    codec = model.codec()
    if engine == "numpy":
        codec = load_model(write_model(tmp_path / "m.safetensors", model))
    quantizer = type(codec.engine.quantizer())
    real, seen = quantizer.encode, set()

    def encode(self: Any, *arguments: Any) -> Any:
        seen.add(threading.active_count())
        return real(self, *arguments)

    monkeypatch.setattr(quantizer, "encode", encode)
    source = write_audio(tmp_path / "a.wav", 10 * RATE)
    before = threading.active_count()
    encode_file(codec, source, tmp_path / "a.ecdc", EncodeOptions(n_q=2), threads=4)
    assert (seen == {before}) == (engine == "torch")
