"""The engine in numpy codes real recordings as the torch engine does, and loads no torch."""

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from cases import mostly_slow
from runtime_samples import weights_of
from tiny_models import segment_model, tiny_config, tiny_model, wave

from encodec_cli.checkpoints.card import read_card
from encodec_cli.checkpoints.modules import load_module
from encodec_cli.config.bundled import checkpoints_folder, configs_folder
from encodec_cli.config.codec import load_codec_config
from encodec_cli.runtime.engine import NumpyEngine, supports
from encodec_cli.runtime.protocol import Rows, Stepper
from encodec_cli.runtime.weights import Weights

BUNDLED = checkpoints_folder() / "ecli_24khz.safetensors"
SAMPLE = Path(__file__).parent.parent / "samples" / "speech.wav"
BLOCK = 80


def stepped(stepper: Stepper, x: Rows, block: int) -> Rows:
    """A stream in blocks of `block` rows; the last one is shorter, or nothing."""
    state = stepper.new_state()
    starts = range(0, len(x) + 1, block)
    return np.concatenate(
        [stepper.step([x[i : i + block]], [state], [i + block > len(x)])[0] for i in starts]
    )


@pytest.fixture(scope="module")
def bundled() -> NumpyEngine:
    config = read_card(BUNDLED).config
    return NumpyEngine(config, Weights(BUNDLED, config))


def speech() -> Rows:
    samples: Rows = soundfile.read(SAMPLE, dtype="float32", always_2d=True)[0]
    return samples


@pytest.mark.parametrize("beams", mostly_slow([8, 1]))
def test_the_bundled_model_gives_the_codes_and_audio_of_torch(
    bundled: NumpyEngine, beams: int
) -> None:
    """Rounding differs, so now and then a frame of two codes equally near takes the other one."""
    other, hop = load_module(BUNDLED).codec().engine, 320
    x = speech()
    ours = stepped(bundled.encoder(BLOCK), x, BLOCK * hop)
    theirs = stepped(other.encoder(BLOCK), x, BLOCK * hop)
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5 * np.abs(theirs).max())
    codes = bundled.quantizer().encode(ours, 8, beams)
    expected = other.quantizer().encode(theirs, 8, beams)
    assert codes.dtype == np.uint16
    assert codes.shape == expected.shape
    different = np.count_nonzero((codes != expected).any(0))
    assert different <= max(1, codes.shape[1] // 1000)
    audio = stepped(bundled.decoder(BLOCK), bundled.quantizer().decode(codes), BLOCK)
    same = stepped(other.decoder(BLOCK), other.quantizer().decode(codes), BLOCK)
    assert audio.shape == same.shape
    np.testing.assert_allclose(audio, same, rtol=0, atol=1e-5)


@pytest.mark.slow
def test_threads_code_different_streams_at_once(bundled: NumpyEngine) -> None:
    x = speech()
    streams = [x[i * 2400 : i * 2400 + 48000] for i in range(6)]

    def job(stream: Rows) -> tuple[Any, Rows]:
        codes = bundled.quantizer().encode(
            stepped(bundled.encoder(BLOCK), stream, BLOCK * 320), 4, 2
        )
        return codes, stepped(bundled.decoder(BLOCK), bundled.quantizer().decode(codes), BLOCK)

    alone = [job(stream) for stream in streams]
    with ThreadPoolExecutor(3) as threads:
        for found, expected in zip(threads.map(job, streams), alone, strict=True):
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])


PROGRAM = """
import sys
import numpy as np
from pathlib import Path
from encodec_cli.checkpoints.card import read_card
from encodec_cli.runtime.engine import NumpyEngine, supports
from encodec_cli.runtime.weights import Weights
path = Path(sys.argv[1])
config = read_card(path).config
assert supports(config)
engine = NumpyEngine(config, Weights(path, config))
encoder, decoder = engine.encoder(80), engine.decoder(80)
x = np.sin(np.arange(24000, dtype=np.float32))[:, None]
[latents] = encoder.step([x], [encoder.new_state()], [True])
codes = engine.quantizer().encode(latents, 8, 8)
[y] = decoder.step([engine.quantizer().decode(codes)], [decoder.new_state()], [True])
status = Path("/proc/self/status")  # the resource module would count the parent's memory
peak = status.read_text().split("VmHWM:")[1].split()[0] if status.exists() else 0
print(y.shape, "torch" in sys.modules, int(peak) // 1024)
"""


@pytest.mark.slow
def test_coding_without_torch_stays_small() -> None:
    command = [sys.executable, "-c", PROGRAM, str(BUNDLED)]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    shape, torch_loaded, megabytes = result.stdout.rsplit(maxsplit=2)
    assert (shape, torch_loaded) == ("(24000, 1)", "False")
    assert int(megabytes) <= 130


@pytest.mark.parametrize("make", [tiny_model, segment_model])
def test_segments_are_signals_of_their_own(make: Any) -> None:
    model = make(seanet={"lstm": 1})
    config, channels = model.config, model.channels
    engine, other = NumpyEngine(config, weights_of(model)), model.codec().engine
    assert supports(config)
    segments = [np.ascontiguousarray(wave(n, channels).T) for n in (60, 60, 17, 60, 60, 60)]
    encoder, decoder = engine.encoder(None), engine.decoder(None)
    states, last = [encoder.new_state() for _ in segments], [False] * 6
    latents = encoder.step(segments, states, last)
    audio = decoder.step(latents, states, last)
    expected = other.encoder(None).step(segments, states, last)
    for found, rows in zip(latents, expected, strict=True):
        np.testing.assert_allclose(found, rows, rtol=0, atol=2e-5)
    expected = other.decoder(None).step(latents, states, last)
    for found, rows in zip(audio, expected, strict=True):
        np.testing.assert_allclose(found, rows, rtol=0, atol=2e-5)


@pytest.mark.parametrize("name", ["ecli_24khz", "encodec_24khz", "encodec_48khz", "musicgen_32khz"])
def test_all_published_models_run_on_it(name: str) -> None:
    assert supports(load_codec_config(configs_folder() / f"{name}.yaml"))


@pytest.mark.parametrize(
    "seanet",
    [
        {"activation": "GELU", "activation_params": {}},
        {"activation": "PReLU", "activation_params": {}},
        {"decoder": {"final_activation": "Softplus"}},
        {"norm": "layer_norm", "norm_params": {"elementwise_affine": False}},
    ],
)
def test_what_it_has_no_layer_for_is_left_to_torch(seanet: dict[str, Any]) -> None:
    assert not supports(tiny_config(seanet=seanet))
