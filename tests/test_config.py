"""Configs: round trips, what is refused and how it is said, rates and bandwidths."""

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import yaml
from tiny_models import tiny_config

from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import CodecConfig, load_codec_config
from encodec_cli.config.quantizer import QuantizerConfig
from encodec_cli.config.schema import read_yaml
from encodec_cli.config.seanet import SEANetConfig, SEANetDecoderConfig
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.model.module import get_compression_model

SHIPPED = sorted(
    path for path in configs_folder().glob("*.yaml") if not path.name.startswith("train_")
)


@pytest.fixture
def data() -> dict[str, Any]:
    return yaml.safe_load((configs_folder() / "encodec_24khz.yaml").read_text())


def test_there_are_configs() -> None:
    names = {path.stem for path in SHIPPED}
    assert names >= {"ecli_24khz", "encodec_24khz", "encodec_48khz", "musicgen_32khz"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "chunk", "default"),
    [
        ("ecli_24khz", 80, 8),
        ("encodec_24khz", 80, 8),
        ("encodec_48khz", 150, 4),  # a segment
        ("musicgen_32khz", 56, 4),  # all that it has: 2.2 kb/s
    ],
)
def test_chunks_last_about_a_second_at_about_6_kbps(name: str, chunk: int, default: int) -> None:
    config = load_codec_config(configs_folder() / f"{name}.yaml")
    assert config.chunk_frames == chunk
    assert config.choose_codebooks() == default


@pytest.mark.parametrize(
    ("changes", "frames"),
    [
        ({}, 88),  # 83.3 frames a second, then the next multiple of 8
        ({"seanet": {"ratios": [5, 4]}, "target_bandwidths": [0.6]}, 56),
        ({"seanet": {"ratios": [125]}, "target_bandwidths": [0.09]}, 8),
        ({"seanet": {"ratios": [126]}, "target_bandwidths": [0.09]}, 8),
        ({"sample_rate": 100_000, "target_bandwidths": [99]}, 4096),  # as many as files hold
        ({"segment_seconds": 0.06, "overlap": 0.1}, 5),
    ],
)
def test_chunks_fill_their_bytes(changes: dict[str, Any], frames: int) -> None:
    assert tiny_config(**changes).chunk_frames == frames


def test_codebooks_are_chosen_by_rate_or_number() -> None:
    config = load_codec_config(configs_folder() / "encodec_24khz.yaml")  # 0.75 to 24 kb/s
    assert config.choose_codebooks(bandwidth=3) == 4
    assert config.choose_codebooks(3.7) == 4
    assert config.choose_codebooks(n_q=32) == 32
    for wrong, message in (
        ({"bandwidth": 3, "n_q": 4}, "give bandwidth or n_q, not both"),
        ({"n_q": 0}, "0 codebooks: encodec_24khz has 1 to 32"),
        ({"n_q": 33}, "33 codebooks: encodec_24khz has 1 to 32"),
        ({"bandwidth": 0.7}, r"bandwidth 0\.7 kb/s"),
        ({"bandwidth": 25}, "bandwidth 25 kb/s"),
        ({"bandwidth": float("nan")}, "bandwidth nan kb/s: give"),
    ):
        with pytest.raises(UsageError, match=message):
            config.choose_codebooks(**wrong)


@pytest.mark.parametrize("path", SHIPPED, ids=lambda path: path.stem)
def test_shipped_configs_round_trip_and_build(path: Path, tmp_path: Path) -> None:
    config = load_codec_config(path)
    assert config.name == path.stem
    assert CodecConfig.from_dict(config.to_dict()) == config
    copy = tmp_path / "copy.yaml"
    copy.write_text(yaml.safe_dump(config.to_dict()))
    assert load_codec_config(copy) == config
    model = get_compression_model(path)
    assert model.config == config
    assert model.encoder.hop_length == config.hop_length
    assert model.quantizer.max_n_q == config.quantizer.n_q


def test_sides_may_differ_and_still_round_trip(data: dict[str, Any]) -> None:
    data["seanet"]["encoder"] = {"n_filters": 8, "lstm": 0}
    data["seanet"]["decoder"] = {"n_filters": 16, "final_activation": "Tanh"}
    config = CodecConfig.from_dict(data)
    assert (config.seanet.n_filters, config.decoder.n_filters) == (8, 16)
    assert (config.seanet.lstm, config.decoder.lstm) == (0, 2)
    assert config.decoder.final_activation == "Tanh"
    assert CodecConfig.from_dict(config.to_dict()) == config


def test_models_build_from_objects_mappings_and_paths(tmp_path: Path) -> None:
    config = tiny_config()
    path = tmp_path / "tiny.yaml"
    path.write_text(yaml.safe_dump(config.to_dict()))
    for source in (config, config.to_dict(), path, str(path)):
        assert get_compression_model(source).config == config


def edited(data: dict[str, Any], keys: str, value: Any) -> dict[str, Any]:
    *sections, key = keys.split(".")
    target = data
    for section in sections:
        target = target.setdefault(section, {})
    if value is DELETE:
        del target[key]
    else:
        target[key] = value
    return data


DELETE = object()


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        # what it is named, and what would be right
        ("colour", "red", r"unknown key 'colour'; known: channels, level_db, name, normalize"),
        ("seanet.lstms", 2, r"seanet: unknown key 'lstms'; known: activation, .*lstm, n_filters"),
        ("quantizer.q", 2, r"quantizer: unknown key 'q'; known: bins, decay"),
        ("seanet.final_activation", "Tanh", r"seanet: unknown key 'final_activation'"),
        (1, 2, "unknown key 1"),
        ("name", DELETE, "name: missing"),
        ("channels", DELETE, "channels: missing"),
        ("target_bandwidths", DELETE, "target_bandwidths: missing"),
        ("seanet", DELETE, "seanet: missing, or not a mapping of keys"),
        ("quantizer", [1], "quantizer: missing, or not a mapping of keys"),
        ("seanet.decoder", [1], r"seanet\.decoder: not a mapping of keys"),
        ("seanet.decoder", {"ratios": [2]}, r"seanet\.decoder: ratios is shared by encoder"),
        ("seanet.channels", 2, "seanet: channels is set once, at the top"),
        ("quantizer.dimension", 9, r"quantizer: dimension is taken from seanet\.dimension"),
        ("sample_rate", "24k", "sample_rate: '24k' is not a whole number"),
        ("sample_rate", 24000.5, r"sample_rate: 24000\.5 is not a whole number"),
        ("channels", True, "channels: True is not a whole number"),
        ("normalize", 1, "normalize: 1 is not true or false"),
        ("overlap", float("nan"), "overlap: nan is not a number"),
        ("overlap", 10**400, "not valid YAML: a number of 401 characters"),
        ("segment_seconds", "1", "segment_seconds: '1' is not a number or null"),
        ("target_bandwidths", 6, "target_bandwidths: 6 is not a list of a number"),
        ("seanet.norm", "batch", "seanet: norm: 'batch' is not one of none, weight_norm, spectral"),
        ("seanet.pad_mode", 0, "seanet: pad_mode: 0 is not one of reflect, constant, replicate"),
        ("seanet.activation_params", 3, "seanet: activation_params: 3 is not a mapping"),
        ("seanet.ratios", "842", "seanet: ratios: '842' is not a list of a whole number"),
        ("seanet.n_residual_layers", 1.5, "n_residual_layers: 1.5 is not a whole number or a list"),
        # ill values
        ("name", "", "name: '': give 1 to 200 printable characters"),
        ("name", "a\x1b[2J", r"name: .*: give 1 to 200 printable characters"),
        ("sample_rate", 999, "sample_rate: 999: give 1000 to 768000 Hz"),
        ("sample_rate", 768001, "sample_rate: 768001: give 1000 to 768000 Hz"),
        ("segment_seconds", 0.001, r"segment_seconds: 0\.001: give 0\.01 to 3600"),
        ("overlap", 0.6, r"overlap: 0\.6: give 0 to 0\.5"),
        ("overlap", -0.1, r"overlap: -0\.1: give 0 to 0\.5"),
        ("target_bandwidths", [], "target_bandwidths: give at least one"),
        ("target_bandwidths", [99], r"target_bandwidths: bandwidth 99 kb/s: .*0\.75 to 24 kb/s"),
        ("normalize", True, "normalize: .*set segment_seconds"),
        ("quantizer.bins", 1, "quantizer: bins: 1: give at least 2"),
        ("seanet.ratios", [], "seanet: ratios: .*at least one factor"),
        ("seanet.n_residual_layers", [1], "n_residual_layers: .*a list of 4, one per ratio"),
        ("seanet.n_filters", [4, 8], "n_filters: .*a list of 5, at the waveform and after each"),
        ("seanet.n_filters", 0, "n_filters: 0: give one number >= 1"),
        ("seanet.norm", "time_group_norm", "causal: .*time_group_norm"),
    ],
)
def test_errors_name_file_key_and_what_is_allowed(
    data: dict[str, Any], tmp_path: Path, key: str, value: Any, message: str
) -> None:
    data = {**data, key: value} if isinstance(key, int) else edited(data, key, value)
    path = tmp_path / "model.yaml"
    path.write_text(yaml.safe_dump(data))
    with pytest.raises(ConfigError, match=message) as caught:
        load_codec_config(path)
    text = str(caught.value)
    assert text.startswith(str(path))
    assert "\n" not in text


def test_time_norms_need_segments(data: dict[str, Any]) -> None:
    data["seanet"] |= {"causal": False, "norm": "time_group_norm"}
    with pytest.raises(ConfigError, match="time_group_norm averages over all time"):
        CodecConfig.from_dict(data)
    assert CodecConfig.from_dict(data | {"segment_seconds": 1.0}).segment_samples == 24000


@pytest.mark.parametrize(
    "text",
    ["", "5", "- 1", "a: [", "[" * 5000, "a: !!python/object:os.system x", "\0"],
    ids=["empty", "number", "list", "open", "deep", "tag", "nul"],
)
def test_what_is_no_config_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "odd.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"odd\.yaml: not (valid YAML|a mapping)"):
        read_yaml(path)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"gone\.yaml: cannot read: No such file"):
        load_codec_config(tmp_path / "gone.yaml")
    with pytest.raises(ConfigError, match="cannot read: Is a directory"):
        load_codec_config(tmp_path)
    (tmp_path / "latin.yaml").write_bytes(b"name: \xff\xfe")
    with pytest.raises(ConfigError, match=r"latin\.yaml: not valid YAML"):
        load_codec_config(tmp_path / "latin.yaml")


@pytest.mark.parametrize("odd", [5, None, [1], "abc"])
def test_from_dict_takes_mappings_only(odd: Any) -> None:
    with pytest.raises(ConfigError, match="config: not a mapping of keys"):
        CodecConfig.from_dict(odd)


def test_yaml_numbers_become_what_the_field_is(data: dict[str, Any]) -> None:
    config = CodecConfig.from_dict(data | {"segment_seconds": 2})
    assert config.target_bandwidths == (1.5, 3.0, 6.0, 12.0, 24.0)
    assert all(type(b) is float for b in config.target_bandwidths)
    assert type(config.segment_seconds) is float
    assert config.seanet.ratios == (8, 5, 4, 2)


def test_python_callers_may_pass_lists() -> None:
    config = SEANetConfig(ratios=[2, 3], n_residual_layers=[0, 1])  # type: ignore[arg-type]
    assert config.ratios == (2, 3)
    assert config.residual_layers == (0, 1)
    assert SEANetConfig(ratios=(2, 3), n_residual_layers=2).residual_layers == (2, 2)
    wide = SEANetConfig(ratios=[2, 3], n_filters=[4, 9, 5])  # type: ignore[arg-type]
    assert wide.widths == (4, 9, 5)
    assert SEANetConfig(ratios=(2, 3), n_filters=4).widths == (4, 8, 16)
    assert config.hop_length == 6
    assert SEANetDecoderConfig().trim_right_ratio == 1.0


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("encodec_24khz", {1.5: 2, 3: 4, 6: 8, 12: 16, 24: 32}),
        ("encodec_48khz", {3: 2, 6: 4, 12: 8, 24: 16}),
        ("ecli_24khz", {1.5: 2, 3: 4, 6: 8, 12: 16}),
        ("musicgen_32khz", {2.2: 4}),
    ],
)
def test_target_bandwidths_are_whole_codebooks(name: str, expected: dict[float, int]) -> None:
    config = load_codec_config(configs_folder() / f"{name}.yaml")
    assert {b: config.codebooks_for(b) for b in config.target_bandwidths} == expected
    for bandwidth, n_q in expected.items():
        assert config.bandwidth_kbps(n_q) == pytest.approx(bandwidth)
        assert config.codebooks_for(config.bandwidth_kbps(n_q)) == n_q


def test_between_bandwidths_the_lower_count_fits() -> None:
    config = load_codec_config(configs_folder() / "encodec_24khz.yaml")
    for n_q in range(1, 33):
        exact = config.bandwidth_kbps(n_q)
        assert config.codebooks_for(exact) == n_q
        if n_q > 1:
            assert config.codebooks_for(exact - 0.001) == n_q - 1
        if n_q < 32:
            assert config.codebooks_for(exact + 0.7) == n_q
    assert config.codebooks_for(0.75) == 1


@pytest.mark.parametrize("odd", [0, -1, 0.74, 24.76, 1e308, float("inf"), float("nan")])
def test_bandwidths_out_of_range_are_refused(odd: float) -> None:
    config = load_codec_config(configs_folder() / "encodec_24khz.yaml")
    with pytest.raises(UsageError, match=r"bandwidth .* kb/s: (give|encodec_24khz codes 0\.75 to)"):
        config.codebooks_for(odd)


def test_awkward_rates_are_exact() -> None:
    """44.1 kHz at a hop of 320 is 137.8125 frames per second; nothing is rounded."""
    config = replace(tiny_config(), sample_rate=44100, target_bandwidths=(46.0,))
    assert config.frame_rate == Fraction(44100, 12)
    assert config.bandwidth_kbps(3) == pytest.approx(3 * 4 * 3.675)
    assert config.codebooks_for(config.bandwidth_kbps(3)) == 3


def test_decimal_bandwidths_that_floats_fall_short_of_still_fit() -> None:
    config = load_codec_config(configs_folder() / "musicgen_32khz.yaml")
    assert Fraction(1.65) < Fraction("1.65") == 3 * 11 * config.frame_rate / 1000
    assert config.codebooks_for(1.65) == 3


def test_frames_are_counted_in_integers() -> None:
    config = load_codec_config(configs_folder() / "encodec_24khz.yaml")
    for frames in (1, 21, 45000, 10**12):
        assert config.frames(320 * frames) == frames
        assert config.frames(320 * frames + 1) == frames + 1


def test_segments_are_metas() -> None:
    config = load_codec_config(configs_folder() / "encodec_48khz.yaml")
    assert (config.segment_samples, config.stride_samples) == (48000, 47520)
    whole = load_codec_config(configs_folder() / "encodec_24khz.yaml")
    assert (whole.segment_samples, whole.stride_samples) == (None, None)


@pytest.mark.parametrize(
    ("bins", "bits"), [(2, 1), (3, 2), (1000, 10), (1024, 10), (1025, 11), (2048, 11), (65536, 16)]
)
def test_bits_of_a_code(bins: int, bits: int) -> None:
    assert QuantizerConfig(bins=bins).bits == bits


def test_codebook_numbers_are_checked() -> None:
    config = tiny_config()
    assert config.check_codebooks(3) == 3
    for wrong in (0, 4):
        with pytest.raises(UsageError, match=f"{wrong} codebooks: tiny has 1 to 3"):
            config.check_codebooks(wrong)
