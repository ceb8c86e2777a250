"""Training of code models: codes as `encode` makes them, a network that learns, a file."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from cli_samples import RATE, run, tone
from numpy.typing import NDArray

from encodec_cli.checkpoints.load import load_model
from encodec_cli.container import read_ecdc
from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.entropy.integer.sizes import Sizes
from encodec_cli.errors import CheckpointError, TrainingError
from encodec_cli.train.entropy.codes import CodedRecording, Source, make_codes, trained_codebooks
from encodec_cli.train.entropy.corpus import CodeCorpus, split_held_out
from encodec_cli.train.entropy.judge import bits_per_code, coded_bits
from encodec_cli.train.entropy.loop import CodeTrainer, Schedule
from encodec_cli.train.entropy.loss import code_loss
from encodec_cli.train.entropy.network import CodeNetwork
from encodec_cli.train.entropy.quantise import code_model_bytes, integer_arrays
from encodec_cli.train.entropy.rounding import rounded_activation, rounded_weight
from encodec_cli.train.entropy.start import new_network

SIZES = Sizes(16, (1, 2), inputs=4, channels=16, hidden=16, outputs=8, dilations=(1, 2))
SCHEDULE = Schedule(0, steps=120, windows=8, frames=20, books=2, learning_rate=1e-2, warmup=0.1)


def recording(name: str, frames: int, seed: int) -> CodedRecording:
    """Codes of which those of the first book count up, and the second book repeats the first."""
    first = (np.arange(frames) + seed) % 16
    codes = np.stack((first, first)).astype(np.uint16)
    chunks = np.full(-(-frames // 20), 20, np.int32)
    chunks[-1] = frames - 20 * (len(chunks) - 1)
    return CodedRecording(name, "sound", chunks, {1: codes[:1], 2: codes})


@pytest.fixture
def recordings() -> list[CodedRecording]:
    return [recording(f"{i}.wav", 50 + 7 * i, i) for i in range(8)]


@pytest.fixture
def books() -> list[torch.Tensor]:
    return [torch.randn(16, 6) * 0.5**k for k in range(2)]


def trainer(
    recordings: list[CodedRecording],
    books: list[torch.Tensor],
    folder: Path,
    schedule: Schedule = SCHEDULE,
) -> CodeTrainer:
    corpus = CodeCorpus(recordings, torch.device("cpu"))
    network = new_network(books, corpus, SIZES)
    return CodeTrainer(network, corpus, {"held_out": recordings[:2]}, schedule, folder)


# ---- the network


def test_loss_is_cross_entropy_with_its_gradients() -> None:
    outputs, vectors = torch.randn(2, 700, 5), torch.randn(2, 9, 5)
    biases, weights = torch.randn(2, 9), torch.rand(700)
    codes = torch.randint(0, 9, (2, 700))
    leaves = [x.requires_grad_() for x in (outputs, vectors, biases)]
    (2 * code_loss(*leaves, codes, weights)).backward()
    ours = [x.grad.clone() for x in leaves if x.grad is not None]
    for leaf in leaves:
        leaf.grad = None
    logits = (outputs @ vectors.mT + biases[:, None]) * np.log(2)
    nats = torch.nn.functional.cross_entropy(
        logits.flatten(0, 1), codes.flatten(), reduction="none"
    )
    (2 * (nats / np.log(2) * weights.repeat(2)).sum()).backward()
    for mine, leaf in zip(ours, leaves, strict=True):
        torch.testing.assert_close(mine, leaf.grad, rtol=1e-4, atol=1e-4)


def test_rounding_passes_gradients_where_nothing_clips() -> None:
    x = torch.tensor([-9.0, -0.26, 0.25, 0.3, 9.0], requires_grad=True)
    y = rounded_activation(x, 1, -4, 4)
    assert y.tolist() == [-2.0, -0.5, 0.5, 0.5, 2.0]
    y.sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [0, 1, 1, 1, 0]


def test_weights_have_eight_bits_and_bounded_sums() -> None:
    weight = torch.randn(5, 200) * torch.tensor([1e-9, 1e-2, 1, 10, 1000])[:, None]
    rounded = rounded_weight(weight)
    for row, exact in zip(rounded, weight, strict=True):
        step = 2.0 ** -round(float(-torch.log2(row.abs()[row != 0].min()))) if row.any() else 1.0
        assert float(row.abs().max() / step) <= 127
        assert float((row - exact).abs().max()) <= max(step / 2, 1e-4)


def test_context_knows_no_frame_that_is_not_before(
    recordings: list[CodedRecording], books: list[torch.Tensor]
) -> None:
    network = new_network(books, CodeCorpus(recordings, torch.device("cpu")), SIZES)
    codes = torch.randint(0, 16, (2, 1, 12))
    other = codes.clone()
    other[:, :, 5:] = torch.randint(0, 16, (2, 1, 7))
    one, two = (network.context(network.sums(c)[-1], 1) for c in (codes, other))
    torch.testing.assert_close(one[:, :6], two[:, :6])
    assert not torch.allclose(one[:, 6:], two[:, 6:])


# ---- training


@pytest.mark.slow
def test_training_learns_and_its_integers_code_as_well(
    recordings: list[CodedRecording], books: list[torch.Tensor], tmp_path: Path
) -> None:
    training = trainer(recordings, books, tmp_path)
    before = bits_per_code(training.network, recordings)["2"]["all"]
    records = list(training.run())
    network = training.result()
    after = bits_per_code(network, recordings)
    assert before > 3.5
    assert after["2"]["all"] < 1  # the second book, at least, is known
    assert {k: v["all"] for k, v in records[-1]["held_out"].items()}.keys() == {"1", "2"}
    model = CodeModel(integer_arrays(network), SIZES, "")
    for one in recordings:
        assert frequency_bits(model, one.codes[2][:, :20]) == pytest.approx(
            network_bits(network, one.codes[2][:, :20]), abs=0.02
        )
    # Ends of runs, in bytes, come on top.
    assert after["2"]["all"] < coded_bits(model, recordings)["2"]["all"] < after["2"]["all"] + 0.4


def frequency_bits(model: CodeModel, codes: NDArray[np.uint16]) -> float:
    frequencies = model.frequencies(codes).astype(np.float64)
    own = np.take_along_axis(frequencies, codes.T[:, :, None].astype(np.intp), 2)[..., 0]
    return float(-np.log2(own / frequencies.sum(2)).mean())


def network_bits(network: CodeNetwork, codes: NDArray[np.uint16]) -> float:
    chunks = np.array([codes.shape[1]], np.int32)
    whole = CodedRecording("", "", chunks, {len(codes): codes, 1: codes[:1]})
    return bits_per_code(network, [whole])[str(len(codes))]["all"]


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on(
    recordings: list[CodedRecording], books: list[torch.Tensor], tmp_path: Path
) -> None:
    torch.manual_seed(5)
    (tmp_path / "whole").mkdir()
    whole = trainer(recordings, books, tmp_path / "whole")
    list(whole.run())
    torch.manual_seed(5)
    (tmp_path / "parts").mkdir()
    eager = Schedule(**{**vars(SCHEDULE), "save_seconds": 0.0})
    first = trainer(recordings, books, tmp_path / "parts", eager)
    for _ in zip(range(1), first.run(), strict=False):
        pass  # stopped at its first report, which comes after the network began to round
    second = trainer(recordings, books, tmp_path / "parts", eager)
    assert 90 < second.step < 120
    list(second.run())
    for name, value in whole.result().state_dict().items():
        torch.testing.assert_close(second.result().state_dict()[name], value, msg=name)


@pytest.mark.slow
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_the_first_loss_that_is_not_finite_ends_the_run(
    value: float,
    recordings: list[CodedRecording],
    books: list[torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    real = CodeTrainer._loss

    def loss(self: CodeTrainer, rng: np.random.Generator) -> torch.Tensor:
        return real(self, rng) * (value if self.step >= 7 else 1.0)

    eager = replace(SCHEDULE, save_seconds=0.0)
    with monkeypatch.context() as patch:
        patch.setattr(CodeTrainer, "_loss", loss)
        words = r"bits: not finite at step 7; give a lower learning_rate than 0\.01; .*state\.pt"
        with pytest.raises(TrainingError, match=words):
            list(trainer(recordings, books, tmp_path, eager).run())
    again = trainer(recordings, books, tmp_path, eager)
    assert again.step == 7
    assert all(value.isfinite().all() for value in again.average.state_dict().values())
    next(again.run())


def test_weights_that_are_not_finite_are_not_saved(
    recordings: list[CodedRecording],
    books: list[torch.Tensor],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A step may spoil them though its loss was finite."""
    real = CodeTrainer._step

    def step(self: CodeTrainer, rate: float) -> torch.Tensor:
        bits = real(self, rate)
        if self.step == 3:
            with torch.no_grad():
                next(self.average.parameters()).fill_(torch.inf)
        return bits

    monkeypatch.setattr(CodeTrainer, "_step", step)
    eager = replace(SCHEDULE, save_seconds=0.0)
    with pytest.raises(TrainingError, match=r"weights \(average of .*\): not finite after step 2"):
        list(trainer(recordings, books, tmp_path, eager).run())
    assert trainer(recordings, books, tmp_path, eager).step == 2


def test_a_state_of_another_run_is_refused(
    recordings: list[CodedRecording], books: list[torch.Tensor], tmp_path: Path
) -> None:
    (tmp_path / "state.pt").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match=r"state\.pt: does not fit"):
        trainer(recordings, books, tmp_path)


def test_one_recording_in_fifty_is_held_out() -> None:
    some = [recording(f"{i}.wav", 3, 0) for i in range(2000)]
    learnt, held_out = split_held_out(some)
    assert 20 < len(held_out) < 60
    assert len(learnt) + len(held_out) == 2000
    fewer = {r.name for r in split_held_out(some[:1000])[1]}
    assert fewer == {r.name for r in held_out} & {r.name for r in some[:1000]}
    assert [len(part) for part in split_held_out(some[:3])] == [2, 1]
    assert [len(part) for part in split_held_out(some[:1])] == [1, 0]


def test_windows_stay_inside_recordings(recordings: list[CodedRecording]) -> None:
    corpus = CodeCorpus(recordings[:3], torch.device("cpu"))
    rng = np.random.default_rng(1)
    codes, inside = corpus.windows(2, 200, 60, rng)
    for window, part in zip(codes[0], inside.bool(), strict=True):
        steps = window[part].diff() % 16
        assert (steps == 1).all()
        assert part.sum() >= 50
        assert not part.diff().bool().sum() > 1


# ---- codes, and the command


def test_codes_are_those_of_files(mono: Path, tmp_path: Path) -> None:
    audio = tmp_path / "a.wav"
    soundfile.write(audio, tone(3.3), RATE)
    codec = load_model(mono)
    (tmp_path / "b.wav").write_bytes(b"no audio")
    skipped: list[str] = []
    sources = [Source(audio, "sound"), Source(tmp_path / "b.wav", "")]
    [coded] = make_codes(codec, sources, tmp_path / "codes", skipped=skipped.append)
    assert "b.wav" in skipped[0]
    assert (coded.name, coded.kind) == ("a.wav", "sound")
    assert list(coded.codes) == trained_codebooks(codec) == [2, 8]
    for k, codes in coded.codes.items():
        run("encode", audio, "-m", mono, "--n-q", str(k), "--force").ok()
        chunks = list(read_ecdc(tmp_path / "a.ecdc").chunks())
        assert [c.codes.shape[1] for c in chunks] == coded.chunks.tolist()
        np.testing.assert_array_equal(np.concatenate([c.codes for c in chunks], 1), codes)
    audio.unlink()  # what is made is not made again
    shards = {p: p.stat().st_mtime_ns for p in (tmp_path / "codes").iterdir()}
    assert len(shards) == 1
    soundfile.write(audio, tone(3.3), RATE)
    [again] = make_codes(codec, sources, tmp_path / "codes")
    np.testing.assert_array_equal(again.codes[8], coded.codes[8])
    assert shards == {p: p.stat().st_mtime_ns for p in (tmp_path / "codes").iterdir()}


@pytest.mark.slow
def test_the_command(mono: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for i in range(3):
        soundfile.write(data / f"{i}.wav", tone(2.0 + i), RATE)
    target = tmp_path / "tiny.codes"
    arguments = ("train-entropy", mono, "--data", data, "-o", target, "--device", "cpu")
    result = run(*arguments, "--steps", "12").ok()
    assert result.stdout == b""
    assert f"wrote {target}" in result.stderr
    model = CodeModel.load(target)
    assert model.model_sha256 == load_model(mono).sha256
    assert model.sizes.trained == (2, 8)
    bits = json.loads(model.metadata["bits_per_code"])["held_out"]["8"]
    assert 0 < bits["all"] < 14
    log = (tmp_path / "tiny.codes.training" / "log.jsonl").read_text().splitlines()
    assert "held_out" in json.loads(log[-1])
    run(*arguments).refused(1, "exists already")
    again = run(*arguments, "--steps", "12", "--force").ok()
    assert CodeModel.load(target).sha256 == model.sha256
    assert f"wrote {target}" in again.stderr
    assert not list(tmp_path.glob("tiny-*.codes"))
    longer = run(*arguments, "--steps", "14", "--force").ok()
    [kept] = tmp_path.glob("tiny-*.codes")  # files may have been coded with it
    assert CodeModel.load(kept).sha256 == model.sha256 != CodeModel.load(target).sha256
    assert f"{kept}: the code model so far" in longer.stderr


def test_the_command_says_what_is_wrong(mono: Path, tmp_path: Path) -> None:
    target = tmp_path / "x.codes"
    (tmp_path / "empty").mkdir()
    run("train-entropy", mono, "--data", tmp_path / "empty", "-o", target).refused(2, "no ")
    (tmp_path / "bad").mkdir()
    for name in ("a.wav", "b.wav"):
        (tmp_path / "bad" / name).write_bytes(b"no audio")
    arguments = ("--data", tmp_path / "bad", "-o", target)
    run("train-entropy", mono, *arguments).refused(2, "none of the recordings could be read")
    run("train-entropy", "gone", *arguments).refused(1, "gone")
    assert not target.exists()


def test_equal_numbers_make_equal_files() -> None:
    from code_model_samples import SMALL, random_arrays

    one, two = (code_model_bytes(random_arrays(SMALL), SMALL, "", {"a": "b"}) for _ in range(2))
    assert one == two
