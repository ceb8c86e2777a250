"""Entropy coding and format 2 on the command line, with a code model of one recording's counts."""

import hashlib
import json
import shutil
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
import soundfile
from cli_samples import damaged_copy, make_model, mono_config, run, write_audio, write_model

from encodec_cli.container import read_ecdc
from encodec_cli.entropy.integer.model import CodeModel
from encodec_cli.entropy.integer.sizes import Sizes
from encodec_cli.entropy.integer.weights import array_shapes
from encodec_cli.train.entropy.quantise import code_model_bytes

SIZES = Sizes(1024, (2, 8), inputs=4, channels=4, hidden=4, outputs=4, dilations=(1,))


def counting_model(codes: np.ndarray, model_sha256: str) -> bytes:
    """The file of a code model whose frequencies are the counts in `codes` `[K, T]`."""
    arrays = {name: np.zeros(shape, dtype) for name, (dtype, shape) in array_shapes(SIZES).items()}
    for book, row in enumerate(codes):
        counts = np.bincount(row, minlength=SIZES.bins)
        arrays["logits.bias"][book] = np.round(64 * np.log2(counts + 0.01))
    return code_model_bytes(arrays, SIZES, model_sha256, {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, mono: Path) -> Path:
    """A recording, an audio model, a code model beside it, and files in formats 1 and 2."""
    folder = tmp_path_factory.mktemp("entropy")
    source = write_audio(folder / "a.wav", 72_500)
    model = shutil.copy(mono, folder / "m.safetensors")
    run("encode", source, folder / "raw.ecdc", "-m", model, "--entropy", "none").ok()
    sha256 = hashlib.sha256(Path(model).read_bytes()).hexdigest()
    codes = read_ecdc(folder / "raw.ecdc").codes
    (folder / "m.codes").write_bytes(counting_model(codes, sha256))
    run("encode", source, folder / "coded.ecdc", "-m", model).ok()
    run("encode", source, folder / "v1.ecdc", "-m", model, "--format", "v1").ok()
    return folder


def info(path: Path) -> dict[str, object]:
    answer: dict[str, object] = json.loads(run("info", path, "--json").ok().text)
    return answer


def test_files_are_smaller_by_default_and_tell_what_they_are(folder: Path) -> None:
    sizes = [(folder / name).stat().st_size for name in ("coded.ecdc", "raw.ecdc", "v1.ecdc")]
    assert sizes[0] < 0.8 * sizes[1]
    assert sizes[1] < sizes[2] - 100
    coded, raw, old = (info(folder / name) for name in ("coded.ecdc", "raw.ecdc", "v1.ecdc"))

    assert (coded["version"], raw["version"], old["version"]) == (2, 2, 1)
    sha256 = CodeModel.load(folder / "m.codes").sha256
    assert (coded["code_model"], raw["code_model"]) == (sha256[:16], None)
    assert (coded["chunks"], coded["coded_chunks"], raw["coded_chunks"]) == (3, 3, 0)
    text = " ".join(run("info", folder / "coded.ecdc").ok().text.split())
    assert f"entropy coding code model {sha256[:16]}, 3 of 3 chunks" in text
    assert "entropy coding none" in " ".join(run("info", folder / "raw.ecdc").ok().text.split())


def test_all_formats_decode_to_the_same_samples(folder: Path, tmp_path: Path) -> None:
    model, audio = folder / "m.safetensors", []
    for name in ("coded", "raw", "v1"):
        run("decode", folder / f"{name}.ecdc", tmp_path / f"{name}.wav", "-m", model).ok()
        audio.append((tmp_path / f"{name}.wav").read_bytes())

    assert audio[0] == audio[1] == audio[2]


@pytest.mark.slow
def test_pipes_carry_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    model, recording = folder / "m.safetensors", (folder / "a.wav").read_bytes()
    coded = run("encode", "-", "-", "-m", model, stdin=recording).ok().stdout
    run("decode", folder / "coded.ecdc", tmp_path / "a.wav", "-m", model).ok()
    decoded = run("decode", "-", "-", "-m", model, stdin=coded).ok().stdout

    assert coded == (folder / "coded.ecdc").read_bytes()
    assert decoded[-1000:] == (tmp_path / "a.wav").read_bytes()[-1000:]
    live = run("encode", "-", "-", "-m", model, "--latency", "14", stdin=recording).ok().stdout
    live_file = tmp_path / "live.ecdc"
    live_file.write_bytes(live)
    assert info(live_file)["coded_chunks"] == info(live_file)["chunks"]
    run("decode", live_file, tmp_path / "live.wav", "-m", model).ok()
    assert soundfile.info(tmp_path / "live.wav").frames == 72_500


def test_lower_rates_of_a_coded_file(folder: Path, tmp_path: Path) -> None:
    model, codes = folder / "m.safetensors", folder / "m.codes"
    command = ("encode", folder / "a.wav", tmp_path / "two.ecdc", "-m", model, "--n-q", "2")
    run(*command).ok()
    run(
        "peel", folder / "coded.ecdc", tmp_path / "p.ecdc", "--n-q", "2", "--code-model", codes
    ).ok()
    for name, options in (("p", ()), ("coded", ("--n-q", "2"))):
        file = (tmp_path if name == "p" else folder) / f"{name}.ecdc"
        run("decode", file, tmp_path / f"{name}.wav", "-m", model, *options).ok()

    assert (tmp_path / "p.wav").read_bytes() == (tmp_path / "coded.wav").read_bytes()
    assert info(tmp_path / "p.ecdc")["coded_chunks"] == 3


def test_a_part_of_a_coded_file(folder: Path, tmp_path: Path) -> None:
    model = folder / "m.safetensors"
    for name in ("coded", "raw"):
        part = ("--start", "1.5", "--duration", "0.5", "-m", model)
        run("decode", folder / f"{name}.ecdc", tmp_path / f"{name}.wav", *part).ok()

    assert (tmp_path / "coded.wav").read_bytes() == (tmp_path / "raw.wav").read_bytes()


def test_without_its_code_model_a_file_is_refused_by_name(folder: Path, tmp_path: Path) -> None:
    sha256 = CodeModel.load(folder / "m.codes").sha256[:16]
    lonely = shutil.copy(folder / "m.safetensors", tmp_path / "m.safetensors")
    words = ("coded.ecdc: coded with code model", sha256, "--code-model")
    command = ("decode", folder / "coded.ecdc", tmp_path / "a.wav", "-m", lonely)

    run(*command).refused(1, *words)
    run(*command, "--conceal").refused(1, *words)
    run("peel", folder / "coded.ecdc", tmp_path / "p.ecdc", "--n-q", "1").refused(1, *words)
    run("tokens", folder / "coded.ecdc", "--to", "npz", "-o", tmp_path).refused(1, *words)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["m.safetensors"]
    run("verify", folder / "coded.ecdc").ok()
    run(*command, "--code-model", folder / "m.codes").ok()


def test_tokens_of_a_coded_file_are_those_of_its_twin(folder: Path, tmp_path: Path) -> None:
    for name in ("coded", "raw"):
        command = ("tokens", folder / f"{name}.ecdc", "--to", "npz", "-o", tmp_path)
        run(*command, "--code-model", folder / "m.codes").ok()
    coded, raw = (np.load(tmp_path / f"{name}.npz")["codes"] for name in ("coded", "raw"))

    np.testing.assert_array_equal(coded, raw)
    model = ("-m", folder / "m.safetensors")
    run("decode", tmp_path / "coded.npz", tmp_path / "a.wav", *model).ok()


@pytest.mark.parametrize("share", [Fraction(1, 4), Fraction(2, 3)])
def test_damage_in_a_coded_file(folder: Path, tmp_path: Path, share: Fraction) -> None:
    hurt = damaged_copy(folder / "coded.ecdc", tmp_path / "hurt.ecdc", share)
    model, target = folder / "m.safetensors", tmp_path / "a.wav"

    for how in ((), ("--quick",)):
        assert "damaged" in run("verify", hurt, *how).text
    run("decode", hurt, target, "-m", model).refused(1, "damaged", "--conceal")
    concealed = run("decode", hurt, target, "-m", model, "--conceal")
    assert concealed.code == 1
    assert "silence in its place" in concealed.stderr
    assert soundfile.info(target).frames == 72_500


def test_verifying_decodes_with_the_code_model(folder: Path, tmp_path: Path) -> None:
    run("verify", folder / "coded.ecdc", "--code-model", folder / "m.codes").ok()
    other = tmp_path / "other.codes"
    codes = read_ecdc(folder / "raw.ecdc").codes
    other.write_bytes(counting_model(codes[::-1], "0" * 64))
    run("verify", folder / "coded.ecdc", "--code-model", other).ok()  # checksums only
    assert run("verify", folder / "coded.ecdc", "--quick").ok().text.endswith(": ok\n")
    both = run("verify", folder / "coded.ecdc", "--quick", "--code-model", other)
    both.refused(2, "--quick", "leave out --code-model")


def test_what_does_not_go_together_is_refused(folder: Path, tmp_path: Path) -> None:
    model, codes = folder / "m.safetensors", folder / "m.codes"
    command = ("encode", folder / "a.wav", tmp_path / "a.ecdc", "-m", model, "--code-model")

    run(*command, codes, "--format", "v1").refused(2, "--code-model: is for --format v2")
    run(*command, codes, "--entropy", "none").refused(2, "--code-model: is for --format v2")
    run(*command, folder / "a.wav").refused(1, "a.wav", "not a code model")
    run(*command, tmp_path / "none.codes").refused(1, "none.codes: cannot read")
    other = write_model(tmp_path / "other.safetensors", make_model(mono_config(), seed=5))
    command = ("encode", folder / "a.wav", tmp_path / "a.ecdc", "-m", other, "--code-model", codes)
    run(*command).refused(2, "m.codes: a code model for the audio model with SHA-256")
    run("info", tmp_path / "a.ecdc").refused(1)


def test_a_model_tells_of_its_code_model(folder: Path, mono: Path) -> None:
    shown = json.loads(run("models", "show", folder / "m.safetensors", "--json").ok().text)
    sha256 = CodeModel.load(folder / "m.codes").sha256

    assert shown["code_model"]["sha256"] == sha256
    assert shown["code_model"]["path"] == str(folder / "m.codes")
    text = run("models", "show", folder / "m.safetensors").ok().text
    assert sha256[:16] in text.replace("\n", "").replace(" ", "")
    assert json.loads(run("models", "show", mono, "--json").ok().text)["code_model"] is None


def test_meta_models_have_format_2_without_entropy_coding(tmp_path: Path) -> None:
    model = write_model(tmp_path / "m.safetensors", make_model(mono_config(name="encodec_24khz")))
    source = write_audio(tmp_path / "a.wav", 30_000)
    run("encode", source, tmp_path / "a.ecdc", "-m", model).ok()

    facts = info(tmp_path / "a.ecdc")
    assert (facts["version"], facts["code_model"], facts["has_scale"]) == (2, None, False)
    run("decode", tmp_path / "a.ecdc", tmp_path / "b.wav", "-m", model).ok()
