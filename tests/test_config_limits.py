"""No number, list, name or YAML trick in a config costs memory or time, or ends in a traceback."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from cli_samples import mono_config

from encodec_cli.config.codec import CodecConfig, load_codec_config
from encodec_cli.config.plain_yaml import parse_yaml
from encodec_cli.errors import ConfigError, UsageError
from encodec_cli.io.text import shown
from encodec_cli.model.module import CompressionModel

NUMBERS: list[Any] = [
    *(0, -1, 1, 1 << 20, 1 << 31, 1 << 63, 10**300, -(10**300), 10**4000),
    *(1e308, 1.7976931348623157e308, -1e308, 5e-324, float("inf"), float("nan")),
    *("x", None, True, [], {}, [[1]], "9" * 5000),
]


def keys(data: dict[str, Any]) -> list[tuple[str, ...]]:
    """Paths to every value of a config, lists as wholes."""
    found: list[tuple[str, ...]] = []
    for key, value in data.items():
        below = keys(value) if isinstance(value, dict) else []
        found += [(key, *path) for path in below] or [(key,)]
    return found


def edited(data: dict[str, Any], path: tuple[str, ...], value: Any) -> dict[str, Any]:
    copy = json.loads(json.dumps(data))
    inner = copy
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return dict(copy)


DATA = mono_config().to_dict()


@pytest.mark.parametrize("path", keys(DATA), ids=".".join)
def test_any_value_of_any_key_makes_a_config_or_one_line(path: tuple[str, ...]) -> None:
    values = [*NUMBERS, *([number] for number in NUMBERS), [1] * 200_000, [2] * 5000]
    for value in values:
        config = config_or_line(edited(DATA, path, value))
        if isinstance(config, str):
            assert config.startswith("m.yaml")
            assert "\n" not in config
            assert len(config) < 700
        else:
            with torch.device("meta"):
                CompressionModel(config)  # whatever is accepted can be built
            config.bandwidth_kbps(config.quantizer.n_q)
            assert config.hop_length <= 1 << 20


def config_or_line(data: dict[str, Any]) -> CodecConfig | str:
    try:
        return CodecConfig.from_dict(data, "m.yaml")
    except ConfigError as error:
        return str(error)


@pytest.mark.parametrize("bandwidth", [1.7976931348623157e308, 1e300, 5e-324, float("nan"), -1e308])
def test_bandwidths_no_model_has_are_one_line(bandwidth: float) -> None:
    with pytest.raises(UsageError, match=r"bandwidth .* kb/s"):
        mono_config().codebooks_for(bandwidth)


@pytest.mark.parametrize(
    ("name", "params"),
    [
        *((name, {}) for name in ("Module", "Unflatten", "GLU", "Softmax", "Bilinear", "Linear")),
        *((name, {}) for name in ("RReLU", "Dropout", "Sequential", "Embedding", "", "__class__")),
        *((name, {}) for name in ("LSTM", "Threshold", "MultiheadAttention", "Upsample", "elu")),
        *(("ELU", {"alpha": value}) for value in ("x", 1e308, float("nan"), None, [1], 10**400)),
        ("ELU", {"inplace": True}),
        ("ELU", {"beta": 1}),
        ("PReLU", {"num_parameters": 2}),
        ("GELU", {"approximate": "x"}),
        ("Softplus", {"beta": 0}),
        ("Hardtanh", {"min_val": 1, "max_val": -1}),
        ("LeakyReLU", {"negative_slope": -float("inf")}),
    ],
)
@pytest.mark.parametrize("key", ["activation", "final_activation"])
def test_activations_that_do_not_code_are_refused(
    key: str, name: str, params: dict[str, Any]
) -> None:
    section = (
        {"decoder": {key: name, f"{key}_params": params}}
        if "final" in key
        else {
            key: name,
            f"{key}_params": params,
        }
    )
    data = {**DATA, "seanet": {**DATA["seanet"], **section}}
    with pytest.raises(ConfigError, match=rf"seanet: {key}(_params)?: "):
        CodecConfig.from_dict(data)


@pytest.mark.parametrize(
    "name", ["ELU", "CELU", "GELU", "Hardtanh", "Identity", "Mish", "PReLU", "SiLU", "Softplus"]
)
def test_activations_that_are_known_run(name: str) -> None:
    section = {"activation": name, "activation_params": {}}
    config = CodecConfig.from_dict({**DATA, "seanet": {**DATA["seanet"], **section}})
    assert CompressionModel(config).eval()(torch.zeros(1, 1, 640)).x.shape == (1, 1, 640)


@pytest.mark.parametrize(
    ("norm", "params"),
    [
        ("layer_norm", {"eps": "x"}),
        ("layer_norm", {"eps": 1e308}),
        ("layer_norm", {"affine": True}),
        ("time_group_norm", {"eps": float("nan")}),
        ("time_group_norm", {"num_groups": 4}),
        ("weight_norm", {"dim": 7}),
        ("none", {"eps": 1e-5}),
    ],
)
def test_norms_take_only_what_they_know(norm: str, params: dict[str, Any]) -> None:
    section = {"norm": norm, "norm_params": params, "causal": False}
    data = {**DATA, "segment_seconds": 1.0, "seanet": {**DATA["seanet"], **section}}
    with pytest.raises(ConfigError, match=r"norm_params: "):
        CodecConfig.from_dict(data)


def test_a_network_of_too_many_weights_is_refused_before_it_is_made() -> None:
    section = {"n_filters": [4, 4, 4, 60_000, 60_000]}
    with pytest.raises(ConfigError, match=r"a network of .* weights; at most"):
        CodecConfig.from_dict({**DATA, "seanet": {**DATA["seanet"], **section}})


ALIASES = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (ALIASES, "uses YAML aliases"),
        ("a: &a {b: 1}\nc:\n  <<: *a", "uses YAML aliases"),
        ("a: &a [*a]", "uses YAML aliases"),
        *((f"a: !!{tag} {value}", "uses YAML tags") for tag, value in [
            ("timestamp", "x"), ("bool", "x"), ("int", "''"), ("float", "x"), ("binary", "x"),
            ("omap", "[a]"), ("pairs", "x"), ("set", "x"), ("python/name:os.system", "x"),
            ("null", "x"), ("merge", "x"), ("str", "5"),
        ]),
        ("!foo a: 1", "uses YAML tags"),
        ("a: " + ":".join(["1"] * 60_000), "a number of"),
        ("a: 0b" + "1" * 100_000, "a number of"),
        ("a: " + "9" * 5000, "a number of"),
        ("a: ." + "9" * 5000, "a number of"),
        ("[" * 20_000, "not valid YAML"),
        ("a: '" + "x" * 200_000 + "'", "larger than 131072 bytes"),
        ("? [a]\n: b", "not valid YAML"),
        ("? {a: b}\n: b", "not valid YAML"),
        ("a: \x1b[31m", "not valid YAML"),
        ("%YAML 9.9\n---\na: 1", "not valid YAML"),
    ],
)  # fmt: skip
def test_yaml_that_costs_or_breaks_something_is_refused(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        parse_yaml(text, "odd.yaml")
    assert str(caught.value).startswith("odd.yaml: ")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_plain_values_are_read_and_dates_are_texts() -> None:
    text = "a: 1\nb: 2.5\nc: [yes, no, ~, '5', 1e3, .inf]\nd: 2001-02-03\ne: 0x10\nf: {<<: x}"
    assert parse_yaml(text, "x") == {
        "a": 1,
        "b": 2.5,
        "c": [True, False, None, "5", "1e3", float("inf")],
        "d": "2001-02-03",
        "e": 16,
        "f": {"<<": "x"},
    }


@pytest.mark.parametrize("name", sorted(p.name for p in Path("configs").glob("e*.yaml")))
def test_the_bundled_configs_are_read(name: str) -> None:
    path = Path("configs") / name
    assert load_codec_config(path).to_dict()
    assert parse_yaml(path.read_text(), name) == yaml.safe_load(path.read_text())


@pytest.mark.parametrize(
    "value",
    [10**10_000, [[[[[[1] * 99] * 99] * 99]]], "a" * 10**6, {"a": {"b": {"c": {"d": {}}}}}],
    ids=["digits", "lists", "text", "mappings"],
)
def test_values_are_shown_briefly(value: Any) -> None:
    assert len(shown(value)) <= 60
    assert shown(value).isprintable()
