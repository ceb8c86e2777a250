"""Format 0 with Meta's language model: byte-identical both ways; ends and damage noticed."""

import importlib
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from cli_samples import run, write_audio
from ecdc_samples import (
    Pipe,
    assert_same_chunks,
    assert_same_codes,
    chunks_of,
    make_ecdc,
    streamed_bytes,
)
from meta_models import FILTER, import_meta, music, save_state, small_meta_model
from numpy.typing import NDArray
from test_container_v0 import meta_file

from encodec_cli.container import (
    DamagedChunk,
    Ecdc,
    EcdcReader,
    EcdcWriter,
    peel,
    read_ecdc,
    summarize,
    v0_header,
    verify,
    write_ecdc,
)
from encodec_cli.engine.lm.model import LanguageModel
from encodec_cli.errors import ContainerError


class FakeModel:
    """Probabilities that depend on the frame before and on the codebook; no network."""

    def __init__(self, seed: int = 0) -> None:
        self.rows = np.random.default_rng(seed).random((64, 1024)).astype(np.float32) ** 6
        self.rows /= self.rows.sum(1, keepdims=True)

    def predictor(self, codebooks: int) -> "FakePredictor":
        return FakePredictor(self.rows, codebooks)


class FakePredictor:
    def __init__(self, rows: NDArray[np.float32], codebooks: int) -> None:
        self.rows = rows
        self.books = np.arange(codebooks)
        self.calls = 0
        self.working = False

    @contextmanager
    def at_work(self) -> Iterator[None]:
        self.working = True
        yield
        self.working = False

    def __call__(self, previous: NDArray[np.uint16] | None) -> NDArray[np.float32]:
        self.calls += 1
        assert self.working
        assert (previous is None) == (self.calls == 1)
        seen = np.array([7]) if previous is None else previous.sum(0, dtype=int)
        return self.rows[(seen[:, None] + 3 * self.books) % 64]


def lm_ecdc(model: str, samples: int, *, codebooks: int = 2) -> Ecdc:
    return make_ecdc(replace(v0_header(model, codebooks=codebooks), lm=True), samples)


def lm_bytes(ecdc: Ecdc) -> bytes:
    file = io.BytesIO()
    write_ecdc(file, ecdc, lm=FakeModel())
    return file.getvalue()


def frames_before_error(data: bytes, model: FakeModel) -> tuple[int, str]:
    """Frames that are delivered, and the error after them."""
    frames = 0
    reader = EcdcReader(io.BytesIO(data), lm=model)
    try:
        for chunk in reader:
            assert not isinstance(chunk, DamagedChunk)
            frames += chunk.frames
    except ContainerError as error:
        return frames, str(error)
    raise AssertionError("no error")


@pytest.mark.parametrize("dribble", [False, True], ids=["blocks", "bytewise"])
@pytest.mark.parametrize(
    ("model", "samples"),
    [
        ("encodec_24khz", 1),
        ("encodec_24khz", 52_000),
        ("encodec_48khz", 47_520 + 100),
        ("encodec_48khz", 1),
    ],
)
def test_reading_gives_back_what_was_written(model: str, samples: int, dribble: bool) -> None:
    ecdc = lm_ecdc(model, samples)
    data = lm_bytes(ecdc)
    reader = EcdcReader(Pipe(data, dribble=dribble), lm=FakeModel())

    assert b'"lm": true}' in data
    assert reader.header == ecdc.header
    assert_same_chunks(reader, chunks_of(ecdc))
    assert reader.offset == len(data)
    assert_same_codes(read_ecdc(io.BytesIO(data), lm=FakeModel()).codes, ecdc.codes)


def test_the_number_of_samples_may_come_last() -> None:
    ecdc = lm_ecdc("encodec_24khz", 30_000)
    file = io.BytesIO()
    writer = EcdcWriter(file, replace(ecdc.header, num_samples=None), lm=FakeModel())
    for chunk in chunks_of(ecdc):
        writer.write(chunk)
    writer.finish(30_000)

    assert file.getvalue() == lm_bytes(ecdc)


def test_a_file_cut_off_gives_the_frames_before_the_cut() -> None:
    ecdc = lm_ecdc("encodec_24khz", 80_000)
    data = lm_bytes(ecdc)
    cut = EcdcReader(io.BytesIO(data[: len(data) // 2]), lm=FakeModel())
    codes = np.concatenate([next(cut).codes, next(cut).codes], axis=1)  # type: ignore[union-attr]

    assert 110 < codes.shape[1] < 140
    assert_same_codes(codes, ecdc.codes[:, : codes.shape[1]])
    with pytest.raises(ContainerError, match=r"the codes end at frame \d+ \(1\.\d+ s\) of 250"):
        next(cut)


@pytest.mark.parametrize("model", ["encodec_24khz", "encodec_48khz"])
def test_damage_is_noticed_and_what_came_before_is_right(model: str) -> None:
    samples = 3 * 47_520
    ecdc = lm_ecdc(model, samples)
    data = bytearray(lm_bytes(ecdc))
    where = len(data) * 3 // 4
    data[where] ^= 16

    frames, message = frames_before_error(bytes(data), FakeModel())

    assert "out of step with the encoder before" in message or "truncated" in message
    assert frames > ecdc.codes.shape[1] // 2
    got = next(EcdcReader(io.BytesIO(data), lm=FakeModel()))
    assert_same_chunks([got], chunks_of(ecdc)[:1])


def test_other_weights_are_noticed_at_the_latest_at_the_end() -> None:
    data = lm_bytes(lm_ecdc("encodec_24khz", 40_000))

    _, message = frames_before_error(data, FakeModel(seed=1))

    assert "out of step" in message or "truncated" in message


def test_bytes_after_the_end_are_noticed() -> None:
    data = lm_bytes(lm_ecdc("encodec_24khz", 10_000)) + b"\0"

    frames, message = frames_before_error(data, FakeModel())

    assert frames == 32
    assert "bytes are left over after the last code" in message


@pytest.mark.slow
def test_without_the_model_there_are_no_codes_but_a_description() -> None:
    ecdc = lm_ecdc("encodec_24khz", 52_000)
    data = lm_bytes(ecdc)

    with pytest.raises(ContainerError, match="give its weights with lm"):
        next(EcdcReader(io.BytesIO(data)))
    with pytest.raises(ContainerError, match="cannot be written without their model"):
        EcdcWriter(io.BytesIO(), ecdc.header)
    summary = summarize(io.BytesIO(data))
    assert (summary.frames, summary.chunks, summary.problems) == (163, 3, ())
    assert summarize(Pipe(data)).file_bytes == len(data)


@pytest.mark.parametrize("pipe", [False, True], ids=["file", "pipe"])
def test_impossible_sizes_are_verified(pipe: bool) -> None:
    data = lm_bytes(lm_ecdc("encodec_48khz", 60_000))
    start = len(data) - len(data.split(b"true}", 1)[1])

    def problems(content: bytes) -> str:
        return "".join(verify(Pipe(content) if pipe else io.BytesIO(content)))

    assert problems(data) == ""
    assert "truncated: 60000 samples take 14 to" in problems(data[: start + 13])
    assert "language-model codes, but there are" in problems(data + bytes(2000))


def test_peeling_is_refused_with_the_reason() -> None:
    data = lm_bytes(lm_ecdc("encodec_24khz", 10_000))
    target = io.BytesIO()

    with pytest.raises(ContainerError, match="probabilities depend on the number of codebooks"):
        peel(EcdcReader(io.BytesIO(data)), target, 1)
    assert target.getvalue() == b""


def test_seeking_is_refused() -> None:
    reader = EcdcReader(io.BytesIO(lm_bytes(lm_ecdc("encodec_24khz", 100))), lm=FakeModel())

    assert reader.index is None
    with pytest.raises(ContainerError, match="codes of the language model are read in order"):
        reader.seek(0)


def test_a_huge_length_claim_allocates_nothing() -> None:
    data = meta_file(bytes(50), m="encodec_24khz", al=1 << 47, nc=32, lm=True)

    frames, message = frames_before_error(data, FakeModel())

    assert frames < 10
    assert "truncated" in message


# ---- Meta's package


def meta_pair(monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[Any, Any]:
    """A small model of Meta's with a language model for its 2 codebooks, known to `encodec`."""
    import_meta()
    from encodec.model import LMModel

    models = importlib.import_module("encodec.compress").MODELS
    model = small_meta_model(name)
    torch.manual_seed(3)
    context = int(3.5 * model.frame_rate)
    lm = LMModel(2, 1024, num_layers=2, dim=200, past_context=context).eval()
    monkeypatch.setattr(model, "get_lm_model", lambda: lm)
    monkeypatch.setitem(models, name, lambda: model)
    return model, lm


@pytest.mark.slow
@pytest.mark.filterwarnings(FILTER)
@pytest.mark.parametrize(
    ("name", "samples"), [("encodec_24khz", 12_345), ("encodec_48khz", 48_000 + 2_000)]
)
def test_metas_bytes_both_ways(monkeypatch: pytest.MonkeyPatch, name: str, samples: int) -> None:
    model, theirs = meta_pair(monkeypatch, name)
    from encodec.compress import compress, decompress

    ours = LanguageModel(theirs.state_dict(), theirs.transformer.past_context)
    wave = torch.from_numpy(music(samples, model.channels, model.sample_rate))
    data = compress(model, wave, use_lm=True)
    ecdc = read_ecdc(io.BytesIO(data), lm=ours)
    with torch.no_grad():
        frames = model.encode(wave[None])
    expected = torch.cat([codes[0] for codes, _ in frames], dim=1).numpy().astype(np.uint16)

    assert_same_codes(ecdc.codes, expected)
    again = io.BytesIO()
    write_ecdc(again, ecdc, lm=ours)
    assert again.getvalue() == data
    assert decompress(again.getvalue())[0].shape == (model.channels, samples)


@pytest.mark.slow
@pytest.mark.filterwarnings(FILTER)
def test_metas_package_reads_files_that_keep_their_source(monkeypatch: pytest.MonkeyPatch) -> None:
    meta_pair(monkeypatch, "encodec_24khz")
    from encodec.compress import decompress

    header = replace(
        v0_header("encodec_24khz", codebooks=2),
        keep_source=True,
        source_sample_rate=44_100,
        source_channels=2,
        tags={"title": "Für Élise"},
    )
    ecdc = make_ecdc(header, 12_000)
    data = streamed_bytes(ecdc, 22_050)
    plain = streamed_bytes(
        replace(ecdc, header=v0_header("encodec_24khz", codebooks=2, num_samples=12_000))
    )

    assert torch.equal(decompress(data)[0], decompress(plain)[0])
    assert read_ecdc(io.BytesIO(data)).header == replace(ecdc.header, source_num_samples=22_050)


def test_what_files_keep_is_checked() -> None:
    content = {"m": "encodec_24khz", "al": 320, "nc": 2, "lm": False}

    for kept, message in (
        ([1], "encodec_cli must be an object"),
        ({"sr": "x"}, "source_sample_rate must be an integer"),
        ({"t": {"a": 1}}, "tags must map"),
        ({"h": "x"}, "model_sha256 must be 64"),
    ):
        with pytest.raises(ContainerError, match=message):
            EcdcReader(io.BytesIO(meta_file(bytes(3), **content, encodec_cli=kept)))
    with pytest.raises(ContainerError, match="keep_source belong to format 0"):
        replace(v0_header("encodec_24khz", codebooks=2), version=1, keep_source=True)


# ---- the command line


@pytest.fixture
def weights(tmp_path: Path) -> tuple[Path, Path]:
    """Files of EnCodec 48 kHz and its language model, random; the smaller of the two pairs."""
    from meta_models import meta_model

    from encodec.model import LMModel  # isort: skip

    model = save_state(meta_model("encodec_48khz"), tmp_path / "codec.th")
    torch.manual_seed(4)
    lm = LMModel(16, 1024, num_layers=1, dim=200, past_context=525)
    return model, save_state(lm, tmp_path / "lm.th")


@pytest.mark.slow
@pytest.mark.filterwarnings(FILTER)
def test_the_command_line_codes_and_decodes(weights: tuple[Path, Path], tmp_path: Path) -> None:
    model, lm = weights
    audio = write_audio(tmp_path / "a.wav", 6_000, rate=44_100)
    raw, small = tmp_path / "raw.ecdc", tmp_path / "small.ecdc"
    common = ("--model", model, "--format", "v0", "--n-q", 2, "--keep-source")
    run("encode", audio, raw, *common).ok()
    run("encode", audio, small, *common, "--lm", lm).ok()

    with small.open("rb") as file:
        assert EcdcReader(file).header.lm
    facts = run("info", small).ok().text
    assert "compressed with Meta's language model" in facts
    assert "44100 Hz, mono, 6,000 samples" in facts
    run("verify", small).ok()
    run("peel", small, tmp_path / "p.ecdc", "--n-q", 1).refused(1, "encode it anew")
    run("decode", small, tmp_path / "no.wav", "--model", model).refused(2, "--lm")
    outputs = []
    for coded, options in ((raw, ()), (small, ("--lm", lm))):
        out = coded.with_suffix(".wav")
        run("decode", coded, out, "--model", model, "--sample-rate", "source", *options).ok()
        outputs.append(soundfile.read(out))
    assert [(len(samples), rate) for samples, rate in outputs] == [(6_000, 44_100)] * 2
    np.testing.assert_array_equal(outputs[0][0], outputs[1][0])

    cut = tmp_path / "cut.ecdc"
    cut.write_bytes(small.read_bytes()[:-9])
    run("decode", cut, tmp_path / "c.wav", "--model", model, "--lm", lm).refused(1, "truncated")
    kept = run("decode", cut, tmp_path / "c.wav", "--model", model, "--lm", lm, "--conceal")
    assert kept.code == 1
    assert "truncated" in kept.stderr
    assert (tmp_path / "c.wav").exists()


def test_options_of_format_0_are_refused_for_format_1(tmp_path: Path) -> None:
    audio = write_audio(tmp_path / "a.wav", 100)

    for option in (("--lm", "x.th"), ("--keep-source",)):
        run("encode", audio, tmp_path / "a.ecdc", *option).refused(2, "add --format v0")
