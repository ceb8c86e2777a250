"""Items made ahead: the same audio, errors in turn, and nothing left behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cli_samples import PATIENCE_SECONDS, make_model, mono_config, stereo_config, write_audio
from ecdc_samples import make_ecdc
from numpy.typing import NDArray
from test_container_v0_lm import FakeModel

from encodec_cli.container import v0_header, write_ecdc
from encodec_cli.errors import ContainerError
from encodec_cli.model.codec import Codec, Model
from encodec_cli.model.module import CompressionModel
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
from encodec_cli.pipeline.encode import EncodeOptions, Encoding, encoding
from encodec_cli.pipeline.prefetch import prefetched
from encodec_cli.pipeline.reports import DecodeReport
from encodec_cli.stream.batching import run_together


def test_items_come_in_order_each_made_while_the_one_before_is_in_use() -> None:
    made, asked = [], threading.Event()

    def items() -> Iterator[int]:
        for i in range(5):
            made.append((i, threading.get_ident()))
            if i == 2:
                asked.set()
            yield i

    got = []
    with prefetched(items()) as ahead:
        for item in ahead:
            got.append(item)
            if item == 1:
                assert asked.wait(PATIENCE_SECONDS)

    assert got == [i for i, _ in made] == list(range(5))
    assert threading.get_ident() not in {thread for _, thread in made}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt])
def test_errors_come_in_turn(error: type[BaseException]) -> None:
    def items() -> Iterator[int]:
        yield 1
        raise error("broken")

    before = threading.active_count()
    with prefetched(items()) as got:
        assert next(got) == 1
        with pytest.raises(error, match="broken"):
            next(got)
    assert threading.active_count() == before
    with prefetched([]) as got:
        assert list(got) == []


def test_to_leave_early_ends_the_thread_after_the_item_at_hand() -> None:
    made = []

    def items() -> Iterator[int]:
        for i in range(100):
            made.append(i)
            yield i

    before = threading.active_count()
    with prefetched(items()) as got:
        assert next(got) == 0

    assert threading.active_count() == before
    assert made == [0, 1]


# ---- files with a language model


class Watched(FakeModel):
    """Notes which thread asks for probabilities."""

    def __init__(self) -> None:
        super().__init__()
        self.threads: set[int] = set()

    def predictor(self, codebooks: int) -> Any:
        predict = super().predictor(codebooks)
        here = self.threads

        class Watching(type(predict)):  # type: ignore[misc]
            def __call__(self, previous: NDArray[np.uint16] | None) -> NDArray[np.float32]:
                here.add(threading.get_ident())
                probabilities: NDArray[np.float32] = super().__call__(previous)
                return probabilities

        return Watching(predict.rows, codebooks)


@pytest.fixture(params=["encodec_24khz", "encodec_48khz"])
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[CompressionModel, Path]:
    """A codec, and a file of four seconds whose codes need a language model."""
    name: str = request.param
    config = mono_config() if name == "encodec_24khz" else stereo_config()
    model = make_model(replace(config, name=name))
    samples = 4 * config.sample_rate - 77
    header = replace(v0_header(name, codebooks=2), lm=True)
    path = tmp_path / "a.ecdc"
    write_ecdc(path, make_ecdc(header, samples), lm=FakeModel())
    return model, path


def decoded(
    model: Model, path: Path, *, threads: int = 1, lm: FakeModel | None = None, **options: Any
) -> tuple[DecodeReport, Any]:
    target = path.with_suffix(f".{threading.get_ident()}.wav")
    choice = DecodeOptions(encoding="float", force=True, **options)
    report = decode_file(model, path, target, choice, lm=lm or FakeModel(), threads=threads)
    return report, soundfile.read(target, dtype="float32")[0]


@pytest.mark.slow
@pytest.mark.parametrize("part", [{}, {"start": 1.5}, {"start": 0.3, "duration": 1.1}], ids=str)
def test_the_audio_is_the_same(pair: tuple[CompressionModel, Path], part: dict[str, float]) -> None:
    watched, before = Watched(), threading.active_count()
    _, found = decoded(*pair, threads=2, lm=watched, **part)
    assert threading.active_count() == before
    assert watched.threads
    assert threading.get_ident() not in watched.threads

    watched = Watched()
    _, expected = decoded(*pair, lm=watched, **part)
    assert watched.threads == {threading.get_ident()}
    np.testing.assert_array_equal(found, expected)


@pytest.mark.slow
def test_a_file_cut_off_fails_or_is_concealed_as_ever(pair: tuple[CompressionModel, Path]) -> None:
    model, path = pair
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 5 // 8])
    before = threading.active_count()

    def outcomes(threads: int) -> tuple[str, Any, Any, Any]:
        with pytest.raises(ContainerError) as failure:
            decoded(model, path, threads=threads)
        whole, audio = decoded(model, path, threads=threads, conceal=True)
        # Damage that lies after what is decoded is nobody's business.
        part, _ = decoded(model, path, threads=threads, conceal=True, duration=1.0)
        return str(failure.value), whole.damage, part.damage, audio

    *found, audio = outcomes(2)
    *expected, same = outcomes(1)

    assert found == expected
    assert "truncated" in found[0]
    assert found[1]
    assert not found[2]
    np.testing.assert_array_equal(audio, same)
    assert threading.active_count() == before


@pytest.mark.parametrize("threads", [1, 2])
def test_nothing_goes_on_after_an_error_of_the_decoder(
    pair: tuple[CompressionModel, Path], threads: int
) -> None:
    model, path = pair
    before = threading.active_count()

    def fails(progress: float, total: float | None) -> None:
        raise RuntimeError("no more")

    with pytest.raises(RuntimeError, match="no more") as failure:
        decode_file(
            model,
            path,
            path.with_suffix(".wav"),
            DecodeOptions(),
            lm=FakeModel(),
            threads=threads,
            progress=fails,
        )
    # While the error, with all that its frames hold, is still there.
    assert threading.active_count() == before
    assert failure.traceback
    assert [each.name for each in path.parent.iterdir()] == [path.name]


@pytest.mark.slow
def test_many_files_read_in_their_own_threads(pair: tuple[CompressionModel, Path]) -> None:
    model, path = pair
    _, expected = decoded(model, path)
    models = [Watched() for _ in range(4)]
    own: dict[int, int] = {}

    def job(number: int, shared: Codec) -> Any:
        own[number] = threading.get_ident()
        return decoded(shared, path, lm=models[number])[1]

    jobs = [partial(job, number) for number in range(4)]
    for outcome in run_together(model.codec(), jobs, streams=2):
        np.testing.assert_allclose(outcome.result(), expected, rtol=0, atol=1e-6)
        assert models[outcome.job].threads == {own[outcome.job]}
    outcomes = run_together(model.codec(), jobs, streams=2)
    before = threading.active_count()
    next(outcomes)
    outcomes.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


PROGRAM = """
import sys
from pathlib import Path
from cli_samples import make_model, mono_config
from dataclasses import replace
from test_container_v0_lm import FakeModel
from encodec_cli.pipeline.decode import DecodeOptions, decode_file
model = make_model(replace(mono_config(), name="encodec_24khz"))
print("ready", flush=True)
source, target = map(Path, sys.argv[1:])
decode_file(model, source, target, DecodeOptions(), lm=FakeModel(), threads=2)
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes here")
def test_ctrl_c_ends_a_wait_for_a_pipe(tmp_path: Path) -> None:
    header = replace(v0_header("encodec_24khz", codebooks=2), lm=True)
    path, fifo = tmp_path / "a.ecdc", tmp_path / "fifo"
    write_ecdc(path, make_ecdc(header, 100_000), lm=FakeModel())
    os.mkfifo(fifo)
    tests = str(Path(__file__).parent)
    search = os.pathsep.join([tests, str(Path(tests).parent), os.environ.get("PYTHONPATH", "")])
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM, fifo, tmp_path / "a.wav"],
        env={**os.environ, "PYTHONPATH": search},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        data = path.read_bytes()
        with fifo.open("r+b", buffering=0) as pipe:  # for reading too: it waits for no reader
            pipe.write(data[: len(data) // 2])
            while not list(tmp_path.glob(".a.wav*")):  # the first blocks are written
                assert process.poll() is None
                time.sleep(0.05)
            process.send_signal(signal.SIGINT)
            _, errors = process.communicate(timeout=PATIENCE_SECONDS)
    finally:
        process.kill()
    assert b"KeyboardInterrupt" in errors
    assert not list(tmp_path.glob("*.wav*"))


class Fed:
    """An engine that stands for a GPU: it is worth many streams, and takes none of our threads.

    Its first step waits until a second chunk of `coded` has been read.
    """

    streams, takes_all_threads = 2, False

    def __init__(self, engine: Any) -> None:
        self._engine, self._stepper = engine, engine.encoder(75)
        self.new_state = self._stepper.new_state
        self.coded: Encoding | None = None
        self.was_read: bool | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    def encoder(self, block_frames: int | None) -> Any:
        return self

    def step(self, inputs: list[Any], states: list[Any], last: list[bool]) -> list[Any]:
        assert self.coded is not None
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.was_read is None:
            if self.coded.source_samples >= 2 * inputs[0].shape[0]:
                self.was_read = True
            elif time.monotonic() > deadline:
                self.was_read = False
            time.sleep(0.001)
        return self._stepper.step(inputs, states, last)  # type: ignore[no-any-return]


def test_streams_that_are_stepped_together_are_read_ahead(tmp_path: Path) -> None:
    path = write_audio(tmp_path / "talk.wav", 10 * 24_000)
    codec = make_model(mono_config()).codec()
    options = EncodeOptions(n_q=2)
    with encoding(codec, path, options) as plain:
        expected = np.concatenate([chunk.codes for chunk in plain.chunks], axis=1)
    engine: Any = Fed(codec.engine)

    def job(shared: Codec) -> Any:
        with encoding(shared, path, options) as engine.coded:
            codes = [chunk.codes for chunk in engine.coded.chunks]
        assert engine.coded.samples == 10 * 24_000
        return np.concatenate(codes, axis=1)

    [outcome] = run_together(replace(codec, engine=engine), [job], streams=2)
    np.testing.assert_array_equal(outcome.result(), expected)
    assert engine.was_read
