"""Many jobs at once: the results of one at a time, errors that stay where they are, an end."""

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from tiny_models import segment_model, tiny_model, wave

from encodec_cli.container.codes import CodeChunk
from encodec_cli.errors import UsageError
from encodec_cli.model.codec import Codec, Model
from encodec_cli.model.module import CompressionModel
from encodec_cli.runtime.protocol import Engine, Rows, Stepper
from encodec_cli.stream.batching import Scheduler, run_together
from encodec_cli.stream.decoder import stream_decoder
from encodec_cli.stream.encoder import stream_encoder

LENGTHS = [1, 1000, 12, 2345, 700, 96, 3000, 1056, 55, 1999]


def encoded(wav: NDArray[np.float32], model: Model) -> list[CodeChunk]:
    encoder = stream_encoder(model, 3)
    chunks = [c for part in np.array_split(wav, 7, axis=1) for c in encoder.push(part)]
    return chunks + encoder.finish()


def decoded(chunks: list[CodeChunk], model: Model) -> NDArray[np.float32]:
    decoder = stream_decoder(model)
    pieces = [decoder.push(chunk.codes, chunk.scale) for chunk in chunks]
    return np.concatenate([*pieces, decoder.finish()], axis=1)


class CountingStepper:
    """Steps with `stepper`, and notes in `sizes` how many streams at once."""

    def __init__(self, stepper: Stepper, sizes: list[int]) -> None:
        self.stepper, self.sizes = stepper, sizes
        self.new_state = stepper.new_state

    def step(self, inputs: list[Rows], states: list[Any], last: list[bool]) -> list[Rows]:
        self.sizes.append(len(inputs))
        return self.stepper.step(inputs, states, last)


class CountingEngine:
    """An engine that notes how many streams its encoder steps at once."""

    streams = 4

    def __init__(self, engine: Engine, block_frames: int) -> None:
        self.sizes: list[int] = []
        self.stepper = CountingStepper(engine.encoder(block_frames), self.sizes)
        self.decoder, self.quantizer = engine.decoder, engine.quantizer

    def encoder(self, block_frames: int | None) -> Stepper:
        return self.stepper


def all_of(model: Model, jobs: list[Callable[..., Any]], streams: int = 4) -> list[Any]:
    results: dict[int, Any] = {}
    for outcome in run_together(model.codec(), jobs, streams=streams):
        assert outcome.job not in results
        results[outcome.job] = outcome.result()
    return [results[i] for i in range(len(jobs))]


@pytest.mark.slow
@pytest.mark.parametrize(
    "model",
    [
        lambda: tiny_model(seanet={"lstm": 2}),
        lambda: tiny_model(seanet={"lstm": 1, "decoder": {"trim_right_ratio": 0.0}}),
        lambda: tiny_model(seanet={"causal": False}),
        segment_model,
    ],
    ids=["compiled", "ahead", "modules", "segments"],
)
def test_files_of_any_lengths_are_those_done_one_by_one(
    model: Callable[[], CompressionModel],
) -> None:
    """In fp64, where batches round too little to change a code."""
    codec = model().double().codec()
    waves = [wave(n, codec.channels, seed=n) for n in LENGTHS]
    alone = [encoded(w, codec) for w in waves]
    together = all_of(codec, [partial(encoded, w) for w in waves])
    for found, expected in zip(together, alone, strict=True):
        for a, b in zip(found, expected, strict=True):
            np.testing.assert_array_equal(a.codes, b.codes)
            assert a.scale == pytest.approx(b.scale)
    audio = all_of(codec, [partial(decoded, chunks) for chunks in alone])
    for found, chunks in zip(audio, alone, strict=True):
        np.testing.assert_allclose(found, decoded(chunks, codec), rtol=0, atol=1e-6)


def test_steps_are_gathered_and_streams_are_few() -> None:
    codec = tiny_model().codec()
    counting = CountingEngine(codec.engine, codec.config.chunk_frames)
    all_of(
        replace(codec, engine=counting),
        [partial(encoded, wave(3000)) for _ in range(12)],
        streams=4,
    )
    assert max(counting.sizes) <= 4
    assert len(counting.sizes) < sum(counting.sizes)


def test_an_error_is_that_of_one_job() -> None:
    model = tiny_model()
    good = wave(2500)

    def bad(shared: Codec) -> list[CodeChunk]:
        encoder = stream_encoder(shared, 3)
        encoder.push(good[:, :1500])
        raise UsageError("this one is broken")

    jobs = [bad if i % 3 == 1 else partial(encoded, good) for i in range(9)]
    outcomes = {outcome.job: outcome for outcome in run_together(model.codec(), jobs, streams=3)}
    assert set(outcomes) == set(range(9))
    for i, outcome in outcomes.items():
        if i % 3 == 1:
            with pytest.raises(UsageError, match="this one is broken"):
                outcome.result()
        else:
            assert len(outcome.result()) == 3


def test_what_fails_in_a_batch_fails_alone() -> None:
    scheduler: Scheduler[int] = Scheduler(4)

    def halves(items: list[int]) -> list[int]:
        if any(item % 2 for item in items):
            raise ValueError(f"odd: {items}")
        return [item // 2 for item in items]

    def job(item: int) -> int:
        half: int = scheduler.call("halves", halves, item)
        return half

    outcomes = {o.job: o for o in scheduler.run([partial(job, i) for i in range(8)])}
    for i, outcome in outcomes.items():
        if i % 2:
            with pytest.raises(ValueError, match=rf"odd: \[{i}\]"):
                outcome.result()
        else:
            assert outcome.result() == i // 2


def test_only_the_callers_thread_computes() -> None:
    scheduler: Scheduler[bool] = Scheduler(3)
    here = threading.get_ident()

    def job() -> bool:
        assert threading.get_ident() != here
        there: int = scheduler.call("where", lambda items: [threading.get_ident()] * len(items), 0)
        return there == here

    assert all(outcome.result() for outcome in scheduler.run([job] * 6))


def test_leaving_early_ends_the_threads() -> None:
    before = threading.active_count()
    ended: list[int] = []

    def job(number: int, shared: Codec) -> None:
        try:
            encoded(wave(50_000 if number else 10), shared)
        finally:
            ended.append(number)

    outcomes = run_together(tiny_model().codec(), [partial(job, i) for i in range(8)], streams=3)
    assert next(outcomes).job == 0
    outcomes.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before
    assert 0 < len(ended) < 8


def test_no_jobs() -> None:
    assert list(run_together(tiny_model().codec(), [], streams=4)) == []
    assert torch.is_grad_enabled()
