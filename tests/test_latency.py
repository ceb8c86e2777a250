"""Look-ahead and history as computed are those that the networks really have."""

from typing import Any

import pytest
import torch
from tiny_models import segment_model, tiny_config, tiny_model, wave

from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import CodecConfig, load_codec_config
from encodec_cli.config.timing import (
    algorithmic_latency_ms,
    block_frames_for,
    decoder_history,
    decoder_lookahead,
    encoder_lookahead,
)
from encodec_cli.errors import UsageError
from encodec_cli.nn.seanet import SEANetState
from encodec_cli.stream.encoder import stream_encoder

CONFIGS: list[dict[str, Any]] = [
    {},
    {"seanet": {"pad_mode": "constant", "n_residual_layers": 2, "dilation_base": 3}},
    {"seanet": {"causal": False}},
    {
        "target_bandwidths": [0.2],
        "seanet": {"causal": False, "ratios": [2, 3, 5], "n_residual_layers": [0, 2, 1]},
    },
    {"seanet": {"causal": False, "kernel_size": 4, "residual_kernel_size": 5}},
    {"seanet": {"decoder": {"trim_right_ratio": 0.0}}},
    {"seanet": {"ratios": [5, 2], "last_kernel_size": 3, "decoder": {"trim_right_ratio": 0.4}}},
]


@pytest.mark.slow
@pytest.mark.parametrize("changes", CONFIGS)
def test_the_encoder_looks_ahead_as_far_as_said(changes: dict[str, Any]) -> None:
    model = tiny_model(**changes).double()
    ahead, hop = encoder_lookahead(model.config.seanet), model.config.hop_length
    samples, state, frames = 40 * hop, SEANetState(), 0
    x = torch.randn(1, model.channels, samples).double()
    for n in range(samples):
        frames += model.encoder.step(x[..., n : n + 1], state, False).shape[-1]
        if n > 20 * hop:  # past the reflected edge
            assert frames == (n + 1 - ahead) // hop


@pytest.mark.parametrize("changes", CONFIGS)
def test_the_decoder_looks_back_and_ahead_as_far_as_said(changes: dict[str, Any]) -> None:
    model = tiny_model(**changes).double()
    config, hop = model.config.decoder, model.config.hop_length
    ahead, back = decoder_lookahead(config), decoder_history(config)
    z = torch.randn(1, 6, 60).double()
    state, samples = SEANetState(), 0
    for t in range(60):
        samples += model.decoder.step(z[..., t : t + 1], state, False).shape[-1]
        if t > 25:
            assert samples == (t + 1) * hop - ahead
    other = z.clone()
    other[..., :20] = torch.randn(1, 6, 20)
    differs = (model.decoder(z) != model.decoder(other)).any(dim=1)[0]
    first_equal = int(differs.nonzero().max()) + 1
    assert (20 + back - 1) * hop < first_equal <= (20 + back) * hop
    # Not one frame less, where padding is constant: frames then differ where inputs do.
    assert bool(differs[(20 + back - 1) * hop])


def test_latency_of_the_known_models() -> None:
    def config(name: str) -> CodecConfig:
        return load_codec_config(configs_folder() / f"{name}.yaml")

    assert algorithmic_latency_ms(config("encodec_24khz")) == pytest.approx(1000 / 75)
    # Its decoder waits for a frame at 75 Hz, 8 steps at 600 Hz and 40 samples.
    assert algorithmic_latency_ms(config("ecli_24khz")) == pytest.approx((320 + 680) / 24)
    assert algorithmic_latency_ms(config("encodec_48khz")) == 1000
    music = config("musicgen_32khz")
    ahead = encoder_lookahead(music.seanet) + decoder_lookahead(music.decoder)
    assert ahead > 0
    assert algorithmic_latency_ms(music) == pytest.approx(20 + ahead / 32)


def test_a_block_is_the_longest_that_the_latency_allows() -> None:
    config = load_codec_config(configs_folder() / "encodec_24khz.yaml")
    milliseconds = {None: 80, 1e6: 80, 1000: 75, 100: 7, 93.33: 7, 93: 6, 40: 3, 13.33: 1}
    for latency, frames in milliseconds.items():
        assert block_frames_for(config, latency) == frames


@pytest.mark.parametrize("latency", [0, -1, 11.9, float("nan"), float("inf")])
def test_a_latency_below_a_frame_is_refused(latency: float) -> None:
    with pytest.raises(UsageError, match=r"latency_ms=.*: tiny needs at least 12\.00 ms, one"):
        block_frames_for(tiny_config(), latency)


def test_segments_have_their_own_latency() -> None:
    config = segment_model().config
    assert block_frames_for(config, None) == 5 == config.frames(60)
    with pytest.raises(UsageError, match=r"tiny codes segments of 0\.06 s"):
        block_frames_for(config, 100)


def test_non_causal_encoders_give_a_block_once_they_have_seen_ahead() -> None:
    model = tiny_model(seanet={"causal": False})
    ahead = encoder_lookahead(model.config.seanet)
    frames = block_frames_for(model.config, 12 * 5 + ahead + 11)
    assert frames == 5
    encoder = stream_encoder(model, 1, chunk_frames=frames)
    x = wave(600)
    arrived = 0
    for n in range(600):
        for chunk in encoder.push(x[:, n : n + 1]):
            arrived += 1
            assert chunk.frames == 5
            assert n + 1 == 60 * arrived + ahead
    assert arrived > 3
    with pytest.raises(UsageError, match="one frame and what it looks ahead"):
        block_frames_for(model.config, 12)
