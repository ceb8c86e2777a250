"""Hugging Face's EnCodec: the same codes and sound as transformers, in and out."""

import errno
import json
import shutil
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import numpy as np
import pytest
import torch
from cli_samples import mono_config, run, write_audio
from meta_models import FILTER, assert_same_codes_but_for_ties, import_meta, music
from safetensors.torch import load_file, save_file
from torch import Tensor

from encodec_cli.checkpoints.card import file_sha256
from encodec_cli.checkpoints.foreign.huggingface import (
    HubConfig,
    codec_config,
    hub_config,
    hub_name,
    read_hub_config,
)
from encodec_cli.checkpoints.foreign.naming import published_config
from encodec_cli.checkpoints.modules import (
    build_and_load,
    convert_checkpoint,
    export_checkpoint,
    load_module,
    read_checkpoint,
    save_model,
)
from encodec_cli.config.bundled import configs_folder
from encodec_cli.config.codec import CodecConfig, load_codec_config
from encodec_cli.container import Ecdc, read_ecdc, write_ecdc
from encodec_cli.dsp.torchaudio_import import import_torchaudio
from encodec_cli.errors import CheckpointError, ConfigError, OutputError, UsageError
from encodec_cli.model.module import CompressionModel
from encodec_cli.stream.signals import decode, encode

pytestmark = pytest.mark.slow  # transformers takes seconds to import

EXACT: dict[str, Any] = {"rtol": 0, "atol": 1e-5}
RATES = [24, 48, 32]

# What facebook/encodec_{24,48,32}khz say in their config.json.
HUB: dict[int, dict[str, Any]] = {
    24: {"target_bandwidths": [1.5, 3.0, 6.0, 12.0, 24.0], "sampling_rate": 24000},
    48: {
        "target_bandwidths": [3.0, 6.0, 12.0, 24.0],
        "sampling_rate": 48000,
        "audio_channels": 2,
        "normalize": True,
        "chunk_length_s": 1.0,
        "overlap": 0.01,
        "norm_type": "time_group_norm",
        "use_causal_conv": False,
    },
    32: {
        "target_bandwidths": [2.2],
        "sampling_rate": 32000,
        "upsampling_ratios": [8, 5, 4, 4],
        "codebook_size": 2048,
        "num_filters": 64,
        "use_causal_conv": False,
        "use_conv_shortcut": False,
    },
}
SMALL: dict[str, Any] = {"num_filters": 4, "hidden_size": 4}
FEW: dict[int, list[float]] = {24: [1.5, 3.0], 48: [3.0, 6.0], 32: [2.2]}


@dataclass
class Pair:
    folder: Path
    theirs: Any
    ours: CompressionModel

    def wave(self, samples: int) -> Tensor:
        return torch.from_numpy(music(samples, self.ours.channels, self.ours.sample_rate))

    @torch.no_grad()
    def latents(self, x: Tensor) -> Tensor:
        """transformers' latents of one chunk `[1, C, T]`, `[D, T']`."""
        if self.theirs.config.normalize:
            x = x / (1e-8 + x.mean(1, keepdim=True).pow(2).mean(2, keepdim=True).sqrt())
        out: Tensor = self.theirs.encoder(x)[0]
        return out

    def books(self) -> list[Tensor]:
        return [layer.codebook.embed for layer in self.theirs.quantizer.layers]


def import_transformers() -> ModuleType:
    import_torchaudio()  # transformers imports it too, and must find it whichever torch is here
    import transformers

    return transformers


@torch.no_grad()
def random_model(**changes: Any) -> Any:
    """transformers' model with random weights, and codebooks over the latents of noise."""
    torch.manual_seed(21)
    theirs = import_transformers()
    model = theirs.EncodecModel(theirs.EncodecConfig(**changes)).eval()
    z = model.encoder(torch.randn(1, model.config.audio_channels, 24000) * 0.1)
    for k, layer in enumerate(model.quantizer.layers):
        book = layer.codebook.embed
        book.copy_(torch.randn_like(book) * z.std() * 0.85**k)
    return model


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Pair]:
    """Small models of all three kinds, saved by transformers and loaded here."""
    made = {}
    for rate in RATES:
        folder = tmp_path_factory.mktemp(f"hub{rate}")
        theirs = random_model(**HUB[rate] | SMALL | {"target_bandwidths": FEW[rate]})
        theirs.save_pretrained(folder)
        made[rate] = Pair(folder, theirs, load_module(folder))
    return made


def segments(pair: Pair, wav: Tensor) -> list[Tensor]:
    """The pieces `[1, C, T]` that both code one by one."""
    length, stride = pair.ours.config.segment_samples, pair.ours.config.stride_samples
    if length is None or stride is None:
        return [wav[None]]
    return [wav[None, :, start : start + length] for start in range(0, wav.shape[1], stride)]


@torch.no_grad()
def assert_same_codec(pair: Pair, theirs: Any, ours: CompressionModel, samples: int) -> None:
    """Codes equal but for near-ties, and sound of the same codes to 1e-5."""
    wav = pair.wave(samples)
    # Its encode, not its feature extractor, which pads the audio of 48 kHz to whole chunks; and a
    # bandwidth, for which None would mean the lowest.
    coded = theirs.encode(wav[None], bandwidth=theirs.config.target_bandwidths[-1])
    ecdc = encode(ours, wav, n_q=ours.config.quantizer.n_q)
    pad = coded.last_frame_pad_length
    frames = [codes[0] for codes in coded.audio_codes]
    frames[-1] = frames[-1][:, : frames[-1].shape[1] - pad]
    position = 0
    for codes, x in zip(frames, segments(pair, wav), strict=True):
        count = codes.shape[1]
        found = ecdc.codes[:, position : position + count]
        assert_same_codes_but_for_ties(found, codes, pair.latents(x), pair.books())
        position += count
    assert position == ecdc.codes.shape[1]
    scales = None
    if theirs.config.normalize:
        scales = np.array([float(scale) for scale in coded.audio_scales], np.float32)
        np.testing.assert_allclose(ecdc.scales, scales, rtol=1e-6)
    same = replace(ecdc, codes=torch.cat(frames, 1).numpy().astype(np.uint16), scales=scales)
    sound = theirs.decode(coded.audio_codes, coded.audio_scales, last_frame_pad_length=pad)[0][0]
    torch.testing.assert_close(decode(ours, same), sound[:, :samples], **EXACT)


@pytest.mark.parametrize("samples", [1, 333, 70001])
@pytest.mark.parametrize("rate", RATES)
def test_codes_and_audio_are_transformers(pairs: dict[int, Pair], rate: int, samples: int) -> None:
    pair = pairs[rate]
    assert pair.ours.config.quantizer.n_q == pair.theirs.config.num_quantizers
    assert_same_codec(pair, pair.theirs, pair.ours, samples)


@pytest.mark.parametrize("rate", RATES)
def test_transformers_loads_what_we_write(
    pairs: dict[int, Pair], rate: int, tmp_path: Path
) -> None:
    """Strictly, and it then codes and decodes as before; so does a conversion of a conversion."""
    pair = pairs[rate]
    mine, out = tmp_path / "mine.safetensors", tmp_path / "out"
    convert_checkpoint(pair.folder, mine)
    export_checkpoint(mine, out, to="hf")
    transformers = import_transformers()
    theirs, report = transformers.EncodecModel.from_pretrained(out, output_loading_info=True)
    assert not any(report.values()), report
    again = load_module(out)
    assert_same_codec(pair, theirs.eval(), again, 50000)
    assert {load_module(m).sha256 for m in (pair.folder, mine, out)} == {
        file_sha256(pair.folder / "model.safetensors")
    }
    for a, b in zip(pair.ours.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    extractor = transformers.EncodecFeatureExtractor.from_pretrained(out)
    assert (extractor.sampling_rate, extractor.feature_size) == (
        pair.ours.sample_rate,
        pair.ours.channels,
    )
    assert extractor.chunk_stride == pair.ours.config.stride_samples


@torch.no_grad()
def test_its_feature_extractor_pads_the_last_chunk(pairs: dict[int, Pair]) -> None:
    """Why its 48 kHz codes of a whole pipeline end otherwise than Meta's and ours."""
    pair = pairs[48]
    wav = pair.wave(60000)
    extractor = import_transformers().EncodecFeatureExtractor(
        2, 48000, chunk_length_s=1.0, overlap=0.01
    )
    padded = extractor(wav.numpy(), sampling_rate=48000, return_tensors="pt")
    theirs = pair.theirs.encode(**padded, bandwidth=6.0)
    ours = encode(pair.ours, wav, n_q=4)
    assert ours.scales is not None
    first, second, *more = (float(scale) for scale in theirs.audio_scales)
    assert first == pytest.approx(ours.scales[0], rel=1e-6)
    assert second < 0.6 * ours.scales[1]  # the padding counts as silence
    assert len(more) == 1  # and the overlap at its end as a chunk of its own


@pytest.mark.parametrize("rate", RATES)
def test_a_file_coded_with_either_decodes_with_the_other(
    pairs: dict[int, Pair], rate: int, tmp_path: Path
) -> None:
    pair, mine = pairs[rate], tmp_path / "mine.safetensors"
    convert_checkpoint(pair.folder, mine)
    converted = load_module(mine)
    sounds = []
    for i, model in enumerate((pair.ours, converted)):
        write_ecdc(tmp_path / f"{i}.ecdc", encode(model, pair.wave(3000), n_q=2))
        ecdc: Ecdc = read_ecdc(tmp_path / f"{i}.ecdc")
        sounds += [decode(pair.ours, ecdc), decode(converted, ecdc)]
    assert all(torch.equal(sounds[0], sound) for sound in sounds)


# ---- names of tensors, kinds of files


def named(state: dict[str, Tensor], gain: str, direction: str) -> dict[str, Tensor]:
    return {
        name.replace("parametrizations.weight.original0", gain).replace(
            "parametrizations.weight.original1", direction
        ): value
        for name, value in state.items()
    }


@pytest.fixture
def folder(pairs: dict[int, Pair], tmp_path: Path) -> Path:
    """A copy of the 24 kHz folder without its weights."""
    folder = tmp_path / "hub"
    folder.mkdir()
    (folder / "config.json").write_bytes((pairs[24].folder / "config.json").read_bytes())
    return folder


def assert_same_weights(path: Path, pair: Pair) -> None:
    state = read_checkpoint(path)[1]
    expected = read_checkpoint(pair.folder)[1]
    assert state.keys() == expected.keys()
    assert all(torch.equal(state[name], value) for name, value in expected.items())


@pytest.mark.parametrize("style", ["legacy", "parametrized", "plain"])
def test_all_styles_of_norms_load(pairs: dict[int, Pair], folder: Path, style: str) -> None:
    state = dict(pairs[24].theirs.state_dict())
    legacy, modern = named(state, "w_g", "w_v"), ("parametrizations.weight.original",)
    assert any(modern[0] in name for name in state)
    assert len(legacy) == len(state)
    if style == "legacy":
        state = named(state, "weight_g", "weight_v")
    elif style == "plain":
        for name in [n for n in state if n.endswith("original0")]:
            module = pairs[24].theirs.get_submodule(
                name.removesuffix(".parametrizations.weight.original0")
            )
            del state[name], state[name.replace("original0", "original1")]
            state[name.replace("parametrizations.weight.original0", "weight")] = module.weight
    state = {name: value.detach().contiguous() for name, value in state.items()}
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    assert_same_weights(folder, pairs[24])
    assert_same_weights(folder / "model.safetensors", pairs[24])


def test_torch_files_load(pairs: dict[int, Pair], folder: Path) -> None:
    path = folder / "pytorch_model.bin"
    torch.save(pairs[24].theirs.state_dict(), path)
    assert_same_weights(folder, pairs[24])
    assert_same_weights(path, pairs[24])
    assert load_module(folder).sha256 == load_module(path).sha256 == file_sha256(path)


def test_shards_load(pairs: dict[int, Pair], folder: Path) -> None:
    pairs[24].theirs.save_pretrained(folder, max_shard_size="10KB")
    shards = sorted(folder.glob("model-*.safetensors"))
    assert len(shards) > 1
    assert_same_weights(folder, pairs[24])
    shards[-1].unlink()
    with pytest.raises(CheckpointError, match=r"names model-.*, which is missing; download it"):
        load_module(folder)


@pytest.mark.parametrize("name", ["../x.safetensors", "/etc/passwd", "notes.txt"])
def test_an_index_names_only_files_beside_it(folder: Path, name: str) -> None:
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": name}}))
    with pytest.raises(CheckpointError, match="which is no weights file beside it"):
        load_module(folder)
    index.write_text('{"weight_map": 5}')
    with pytest.raises(CheckpointError, match="not an index of weights"):
        load_module(folder)


def test_left_over_and_missing_tensors_are_named(pairs: dict[int, Pair], folder: Path) -> None:
    state = load_file(pairs[24].folder / "model.safetensors")
    bias = "encoder.layers.0.conv.bias"
    save_file({**state, "extra.one": torch.zeros(1)}, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing nothing; left over extra\.one"):
        load_module(folder)
    del state[bias]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"missing encoder\.model\.0\.conv\.conv\.bias"):
        load_module(folder)


def test_a_truncated_file_is_named(pairs: dict[int, Pair], folder: Path) -> None:
    data = (pairs[24].folder / "model.safetensors").read_bytes()
    (folder / "model.safetensors").write_bytes(data[: len(data) // 2])
    with pytest.raises(CheckpointError, match="not a readable safetensors file"):
        load_module(folder)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("model.safetensors", b"<!DOCTYPE html>", "an HTML page under this name"),
        ("model.safetensors", b"version https://git-lfs.github.com/spec/v1", "a Git LFS pointer"),
        ("config.json", b"<html>404</html>", "an HTML page under this name"),
        ("config.json", b"{ 1", "not a model's configuration: Expecting property name"),
    ],
)
def test_what_is_saved_as_one_of_its_files_is_named(
    pairs: dict[int, Pair], folder: Path, name: str, content: bytes, message: str
) -> None:
    shutil.copy(pairs[24].folder / "model.safetensors", folder)
    (folder / name).write_bytes(content)
    with pytest.raises(CheckpointError, match=f"{name}: {message}"):
        load_module(folder)


# ---- configurations


@pytest.mark.parametrize(
    ("rate", "name"), [(24, "encodec_24khz"), (48, "encodec_48khz"), (32, "musicgen_32khz")]
)
def test_published_models_are_recognised(rate: int, name: str) -> None:
    hub = HubConfig(**HUB[rate])
    names = [f"quantizer.layers.{k}.codebook.embed" for k in range(hub.num_quantizers)]
    config = codec_config(hub, names, "config.json")
    bundled = load_codec_config(configs_folder() / f"{name}.yaml")
    assert config.name == name
    assert config.target_bandwidths == bundled.target_bandwidths
    assert config.seanet == bundled.seanet
    assert config.decoder == bundled.decoder
    assert hub_config(config) == {
        "architectures": ["EncodecModel"],
        "model_type": "encodec",
        "dtype": "float32",
        **transformers_fields(HUB[rate]),
    }


def transformers_fields(values: dict[str, Any]) -> dict[str, Any]:
    """What transformers makes of these values, of the fields that we write."""
    config = import_transformers().EncodecConfig(**values)
    fields = HubConfig.__dataclass_fields__
    as_tuples = {name: getattr(config, name) for name in fields}
    return {k: tuple(v) if isinstance(v, list) else v for k, v in as_tuples.items()}


def test_other_sizes_get_names_that_tell_them_apart(pairs: dict[int, Pair]) -> None:
    names = {rate: pair.ours.config.name for rate, pair in pairs.items()}
    assert names == {
        24: "encodec_24khz_mono_4x1024",
        48: "encodec_48khz_stereo_4x1024",
        32: "encodec_32khz_mono_4x2048",
    }


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"model_type": "mimi"}', "of type 'mimi'; this program runs 'encodec'"),
        ('{"model_type": "dac"}', "of type 'dac'"),
        ('{"vq_strides": [8, 4, 2, 1]}', "of type 'snac'"),
        ("{}", "of type None"),
        ("[]", "not a mapping of keys"),
        ("<html>", "an HTML page under this name"),
        ("[" * 100_000, "not a model's configuration"),
        (" " * (1 << 20) + "{}", "larger than"),
        ('{"model_type": "encodec", "hidden_size": "4"}', "hidden_size: '4' is not a whole number"),
        ('{"model_type": "encodec", "norm_type": "batch"}', "norm_type: 'batch' is not one of"),
        ('{"model_type": "encodec", "codebook_dim": 7}', "codebook_dim 7 is not hidden_size 128"),
        (
            '{"model_type": "encodec", "normalize": true}',
            "without chunk_length_s: .*segment_seconds",
        ),
        ('{"model_type": "encodec", "num_residual_layers": 1000000000}', "00: give 0 to 64"),
        ('{"model_type": "encodec", "num_filters": 1000000000000}', "00: give 1 to 65536"),
        ('{"model_type": "encodec", "target_bandwidths": [24.0]}', "codes 0.75 to 3 kb/s"),
    ],
)
def test_configurations_that_do_not_fit_are_named(
    pairs: dict[int, Pair], folder: Path, content: str, message: str
) -> None:
    (folder / "model.safetensors").write_bytes(
        (pairs[24].folder / "model.safetensors").read_bytes()
    )
    text = content.replace('"encodec"', '"encodec", "target_bandwidths": [3.0]')
    (folder / "config.json").write_text(content if "bandwidths" in content else text)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_module(folder)
    assert "\n" not in str(caught.value)
    assert str(folder) in str(caught.value)


def test_folders_without_weights_are_named(folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has config\.json but no model\.safetensors"):
        load_module(folder)


def test_weights_without_their_config_are_named(pairs: dict[int, Pair], tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes((pairs[24].folder / "model.safetensors").read_bytes())
    torch.save(pairs[24].theirs.state_dict(), tmp_path / "pytorch_model.bin")
    for file in (path, tmp_path / "pytorch_model.bin"):
        with pytest.raises(CheckpointError, match=r"EnCodec without its config\.json; put that"):
            load_module(file)


def test_the_config_of_a_checkpoint_is_read_with_transformers_defaults(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text('{"model_type": "encodec", "anything": "else"}')
    assert read_hub_config(path) == HubConfig()
    for name, value in transformers_fields({}).items():
        if name != "codebook_dim":
            assert getattr(HubConfig(), name) == value, name
    path.write_text('{"model_type": "encodec", "pad_mode": "mirror"}')
    with pytest.raises(ConfigError, match="pad_mode: 'mirror' is not one of"):
        read_hub_config(path)


def test_renaming_loses_nothing() -> None:
    for name in ("encodec_24khz", "encodec_48khz", "musicgen_32khz"):
        with torch.device("meta"):
            names = CompressionModel(published_config(name)).state_dict().keys()
        assert len({hub_name(each) for each in names}) == len(names)


# ---- what cannot be written


def saved(config: CodecConfig, path: Path) -> Path:
    save_model(CompressionModel(config).eval(), path, licence="MIT", training_data="none")
    return path


@pytest.mark.parametrize(
    ("seanet", "reason"),
    [
        ({"lstm": 0}, "no LSTM"),
        ({"n_residual_layers": (1, 1, 1, 2)}, "n_residual_layers that differ by stage"),
        ({"n_filters": (4, 8, 16, 32, 48)}, "n_filters that do not double"),
        ({"norm": "layer_norm"}, "norm layer_norm"),
        ({"activation_params": {"alpha": 0.5}}, "activation ELU"),
    ],
)
def test_what_transformers_has_not_is_refused(
    tmp_path: Path, seanet: dict[str, Any], reason: str
) -> None:
    config = mono_config()
    changes: dict[str, Any] = {"lstm": 1, **seanet}
    config = replace(
        config,
        seanet=replace(config.seanet, **changes),
        decoder=replace(config.decoder, **changes),
    )
    source, out = saved(config, tmp_path / "m.safetensors"), tmp_path / "out"
    with pytest.raises(UsageError, match=f"to=hf: transformers has no model with {reason}"):
        export_checkpoint(source, out, to="hf")
    with pytest.raises(UsageError, match="to=meta: tiny24 is not built like encodec_24khz"):
        export_checkpoint(source, tmp_path / "out.th", to="meta")
    assert sorted(tmp_path.iterdir()) == [source]


def test_folders_are_replaced_only_when_asked(pairs: dict[int, Pair], tmp_path: Path) -> None:
    out = tmp_path / "out"
    out.mkdir()
    export_checkpoint(pairs[24].folder, out, to="hf")  # an empty folder is as good as none
    (out / "README.md").write_text("mine")
    with pytest.raises(OutputError, match="exists already; use force=True"):
        export_checkpoint(pairs[48].folder, out, to="hf")
    export_checkpoint(pairs[48].folder, out, to="hf", force=True)
    assert load_module(out).sample_rate == 48000
    assert (out / "README.md").read_text() == "mine"
    with pytest.raises(OutputError, match="does not exist; create it first"):
        export_checkpoint(pairs[48].folder, tmp_path / "no" / "out", to="hf")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["out"]


@pytest.mark.parametrize("to", ["hf", "meta"])
def test_a_full_disk_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: Literal["hf", "meta"]
) -> None:
    source = saved(published_config("encodec_24khz"), tmp_path / "m.safetensors")

    def full(self: Path, target: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(OutputError, match="No space left on device"):
        export_checkpoint(source, tmp_path / "out", to=to)
    assert sorted(tmp_path.iterdir()) == [source]


# ---- Meta's package


@pytest.mark.filterwarnings(FILTER)
@pytest.mark.parametrize("name", ["encodec_24khz", "encodec_48khz"])
@torch.no_grad()
def test_metas_package_loads_what_we_write(name: str, tmp_path: Path) -> None:
    """Ours to `.th`: loaded strictly there, with the same latents, codebooks and sound."""
    torch.manual_seed(5)
    config = published_config(name)
    ours = CompressionModel(config)
    for book in ours.quantizer.codebooks:
        book.embed.normal_()
    mine, th = tmp_path / "mine.safetensors", tmp_path / "theirs.th"
    save_model(ours, mine, licence="MIT", training_data="none", half=False)
    export_checkpoint(mine, th, to="meta")
    encodec = import_meta()
    theirs = getattr(encodec.EncodecModel, f"encodec_model_{name[8:]}")(pretrained=False)
    theirs.load_state_dict(torch.load(th, weights_only=True), strict=True)
    theirs.eval()
    loaded, back = load_module(mine), load_module(th)
    assert back.config == loaded.config
    assert back.sha256 == loaded.sha256 == file_sha256(mine)
    x = torch.from_numpy(music(4000, config.channels, config.sample_rate))[None]
    torch.testing.assert_close(theirs.encoder(x), back.encoder(x), **EXACT)
    theirs.set_target_bandwidth(6.0)
    [(codes, scale)] = theirs.encode(x)
    found, own = back.encode(x)
    count = codes.shape[1]
    z = theirs.encoder(x if scale is None else x / scale[..., None])[0]
    books = [layer._codebook.embed for layer in theirs.quantizer.vq.layers]
    assert_same_codes_but_for_ties(found[0, :count].numpy().astype(np.uint16), codes[0], z, books)
    if scale is not None:
        torch.testing.assert_close(own, scale)
    torch.testing.assert_close(
        back.decode(codes, scale), theirs._decode_frame((codes, scale)), **EXACT
    )
    for key, value in back.state_dict().items():
        assert torch.equal(value, loaded.state_dict()[key]), key
    if name == "encodec_24khz":  # and from there to transformers
        out = tmp_path / "hub"
        export_checkpoint(th, out, to="hf")
        hub, report = import_transformers().EncodecModel.from_pretrained(
            out, output_loading_info=True
        )
        assert not any(report.values()), report
        torch.testing.assert_close(hub.encoder(x), theirs.encoder(x), **EXACT)
        torch.testing.assert_close(
            hub.decode(codes[None], [None])[0], theirs._decode_frame((codes, None)), **EXACT
        )


def test_hostile_sizes_cost_nothing(tmp_path: Path) -> None:
    """A config that asks for all codebooks there may be is refused before anything is built."""
    config = mono_config()
    with pytest.raises(ConfigError, match="n_q: 1000000: give at most 1024"):
        replace(config.quantizer, n_q=1_000_000)
    config = replace(config, quantizer=replace(config.quantizer, n_q=1024))
    with pytest.raises(CheckpointError, match=r"does not fit tiny24: a model of 10\d\d layers"):
        build_and_load(config, {"a": torch.zeros(1)}, "file")


# ---- the command line


def test_the_command_line_takes_them(pairs: dict[int, Pair], tmp_path: Path) -> None:
    folder, out = pairs[24].folder, tmp_path / "out"
    shown = json.loads(run("models", "show", folder, "--json").ok().text)
    weights = folder / "model.safetensors"
    assert (shown["sha256"], shown["bytes"]) == (file_sha256(weights), weights.stat().st_size)
    assert (shown["name"], shown["codebooks"]) == ("encodec_24khz_mono_4x1024", 4)
    assert json.loads(run("models", "show", weights, "--json").ok().text)["path"] == str(weights)
    run("models", "convert", folder, out, "--to", "hf").ok()
    audio, coded = write_audio(tmp_path / "a.wav", 5000), tmp_path / "a.ecdc"
    run("encode", audio, coded, "--model", folder, "--bandwidth", "3").ok()
    run("decode", coded, tmp_path / "b.wav", "--model", out).ok()
    run("models", "convert", folder, out, "--to", "hf").refused(1, "exists already")
    run("models", "convert", folder, out, "--to", "hf", "--half").refused(2, "only our format")
    run("models", "convert", folder, tmp_path / "a.th", "--to", "meta").refused(
        2, "is not built like encodec_24khz or encodec_48khz"
    )
