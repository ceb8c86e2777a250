"""What other programs see: each format read by the library that it is for, text and all."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from token_samples import FORMATS, imported, make_item, others_warn, write

from encodec_cli.tokens import Arrangement, CardFacts, TokenItem, column_kinds, write_card

pytestmark = pytest.mark.slow

ITEMS = [
    make_item(
        "talks/anna",
        scales=True,
        frames=150,
        text="hällo",
        speaker="anna",
        n=1,
        long=1,
        words=["a", "b"],
        more={"array": [1], "shape": 2},
        sample_rate=44_100,
    ),
    make_item("b", scales=True, frames=76, text="two", speaker=None, n=2, long=2.5, words=[]),
]
"""A column of ints and fractions, one that is null once, one that takes a name of ours."""


def written(folder: Path, to: str, arrangement: Arrangement | None = None) -> Path:
    return write(folder, to, ITEMS if to not in ("npz", "safetensors") else ITEMS[:1],
                 arrangement or Arrangement())  # fmt: skip


def load_dataset(tmp_path: Path, *arguments: Any, **keywords: Any) -> Any:
    datasets = imported("datasets")
    with others_warn():
        datasets.disable_progress_bars()
        cache = str(tmp_path / "cache")
        return datasets.load_dataset(*arguments, cache_dir=cache, split="train", **keywords)


def test_numpy_and_safetensors_have_columns(tmp_path: Path) -> None:
    with np.load(written(tmp_path, "npz"), allow_pickle=False) as arrays:
        np.testing.assert_array_equal(arrays["codes"], ITEMS[0].codes)
        found = {name: arrays[name].item() for name in ("text", "n", "words", "more")}
        assert arrays["sample_rate"].item() == 24_000
        assert arrays["corpus_sample_rate"].item() == 44_100
    assert found == {
        "text": "hällo",
        "n": 1,
        "words": '["a", "b"]',
        "more": '{"array": [1], "shape": 2}',
    }
    with safe_open(written(tmp_path, "safetensors"), framework="numpy") as file:
        metadata = file.metadata()
    assert {name: metadata[name] for name in found} == {**found, "n": "1"}


def test_webdataset_in_a_loader_of_torch(tmp_path: Path) -> None:
    webdataset, torch = imported("webdataset"), imported("torch")
    written(tmp_path, "webdataset")
    with others_warn():
        shards = sorted(map(str, tmp_path.glob("tokens-*.tar")))
        samples = webdataset.WebDataset(shards, shardshuffle=False).decode()
        parts = samples.to_tuple("__key__", "codes.npy", "json")
        loader = torch.utils.data.DataLoader(parts, batch_size=None, num_workers=0)
        found = list(loader)
    assert [key for key, _, _ in found] == ["talks/anna", "b"]
    for (_, codes, sample), item in zip(found, ITEMS, strict=True):
        np.testing.assert_array_equal(codes, item.codes)
        assert sample["text"] == item.columns["text"]
        assert sample["words"] == item.columns["words"]
    assert found[0][2]["more"] == ITEMS[0].columns["more"]


def test_datasets_shows_the_columns_of_parquet_with_their_types(tmp_path: Path) -> None:
    path = written(tmp_path, "parquet", Arrangement(code_dtype="int32"))
    table = load_dataset(tmp_path, "parquet", data_files=str(path))
    datasets = imported("datasets")
    value, lists = datasets.Value, datasets.List
    expected = {
        "key": value("string"),
        "codes": lists(lists(value("int32"))),
        "scales": lists(value("float32")),
        "frame_rate": value("float64"),
        "sample_rate": value("int64"),
        "text": value("string"),
        "n": value("int64"),
        "long": value("float64"),
        "words": lists(value("string")),
        "more": value("string"),
        "corpus_sample_rate": value("int64"),
    }
    assert {name: table.features[name] for name in expected} == expected
    assert table["text"][:] == ["hällo", "two"]
    assert table["speaker"][:] == ["anna", None]
    assert table["long"][:] == [1.0, 2.5]
    assert json.loads(table[0]["more"]) == ITEMS[0].columns["more"]
    assert table[0]["codes"] == ITEMS[0].codes.tolist()


def test_the_features_are_in_the_file(tmp_path: Path) -> None:
    """As datasets writes them: its own reader takes them from there."""
    parquet, datasets = imported("pyarrow.parquet"), imported("datasets")
    schema = parquet.read_schema(written(tmp_path, "parquet"))
    features = json.loads(schema.metadata[b"huggingface"])["info"]["features"]
    assert datasets.Features.from_dict(features) == datasets.Features.from_arrow_schema(
        schema.remove_metadata()
    )


def test_datasets_in_a_loader_of_torch(tmp_path: Path) -> None:
    torch = imported("torch")
    path = written(tmp_path, "parquet", Arrangement(layout="TK", code_dtype="int64"))
    table = load_dataset(tmp_path, "parquet", data_files=str(path))

    def padded(rows: list[dict[str, Any]]) -> Any:
        return torch.nn.utils.rnn.pad_sequence([row["codes"] for row in rows], batch_first=True)

    with others_warn():
        chosen = table.select_columns(["codes"]).with_format("torch")
        loader = torch.utils.data.DataLoader(chosen, batch_size=2, collate_fn=padded)
        [batch] = list(loader)
    assert batch.shape == (2, 150, 3)
    assert batch.dtype == torch.int64
    np.testing.assert_array_equal(batch[0].numpy().T, ITEMS[0].codes)


@pytest.mark.parametrize("to", ["parquet", "jsonl", "webdataset"])
def test_datasets_loads_a_folder_by_its_card(to: str, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    folder.mkdir()
    items = [make_item(key, text=key) for key in ("a", "b")]
    path = write(folder, to, items)
    (folder / "failures.jsonl").write_text('{"source": "x.wav", "reason": "empty"}\n')
    facts = CardFacts(format=to, files=[path], command=["x"], items=2, seconds=1.0)
    assert write_card(folder, facts)
    table = load_dataset(tmp_path, str(folder))
    assert len(table) == 2
    if to == "webdataset":
        assert [row["text"] for row in table["json"]] == ["a", "b"]
        np.testing.assert_array_equal(table[0]["codes.npy"], items[0].codes)
    else:
        assert table["text"][:] == ["a", "b"]
        assert table[0]["codes"] == items[0].codes.tolist()


def test_datasets_reads_flat_lines(tmp_path: Path) -> None:
    how = Arrangement(flat="frames", offset=128_266, bos=1, eos=2)
    table = load_dataset(tmp_path, "json", data_files=str(written(tmp_path, "jsonl", how)))
    first, *codes, last = table[0]["codes"]
    assert (first, last, codes[0]) == (1, 2, 128_266 + int(ITEMS[0].codes[0, 0]))
    assert len(codes) == ITEMS[0].codes.size


# lhotse


@pytest.fixture
def cuts(tmp_path: Path) -> Any:
    lhotse = imported("lhotse")
    with others_warn():
        written(tmp_path, "shar")
        return lhotse.CutSet.from_shar(in_dir=tmp_path / "shar")


def test_lhotse_reads_shar(cuts: Any) -> None:
    with others_warn():
        found = list(cuts)
    assert [cut.id for cut in found] == ["talks/anna", "b"]
    for cut, item in zip(found, ITEMS, strict=True):
        np.testing.assert_array_equal(cut.load_codes().T, item.codes)
        assert cut.load_codes().dtype == np.uint16
        assert cut.duration == pytest.approx(item.codes.shape[1] / 75)
        assert cut.sampling_rate == 24_000
        assert cut.supervisions[0].text == cut.text == item.columns["text"]
        assert cut.supervisions[0].speaker == item.columns["speaker"]
        assert cut.num_samples == 2200 or cut.custom["num_samples"] == 2200
        assert cut.scales == [0.5, 2.0]
    assert json.loads(found[0].more) == ITEMS[0].columns["more"]
    assert found[0].corpus_sample_rate == 44_100


def test_lhotse_cuts_codes_in_time(cuts: Any) -> None:
    """A part of a cut has the codes of that part: their first axis is time."""
    with others_warn():
        part = next(iter(cuts)).truncate(offset=1, duration=0.48)
        np.testing.assert_array_equal(part.load_codes().T, ITEMS[0].codes[:, 75:111])


def test_lhotse_reads_cuts_of_two_channels(tmp_path: Path) -> None:
    lhotse = imported("lhotse")
    info = make_item().info.__class__(sample_rate=48_000, hop=320, channels=2, bits=10)
    item = TokenItem("a", make_item().codes, None, info, columns={"text": "x"})
    write(tmp_path, "shar", [item])
    with others_warn():
        [cut] = lhotse.CutSet.from_shar(in_dir=tmp_path / "shar")
        np.testing.assert_array_equal(cut.load_codes().T, item.codes)
        assert (cut.num_channels, cut.text) == (2, "x")


def test_lhotse_in_a_loader_of_torch(tmp_path: Path, cuts: Any) -> None:
    torch, lhotse = imported("torch"), imported("lhotse")

    class Codes(torch.utils.data.Dataset):  # type: ignore[misc, name-defined]
        def __getitem__(self, batch: Any) -> Any:
            return [(cut.id, torch.from_numpy(cut.load_codes().astype(np.int64))) for cut in batch]

    with others_warn():
        sampler = lhotse.dataset.DynamicCutSampler(cuts, max_cuts=2)
        loader = torch.utils.data.DataLoader(Codes(), sampler=sampler, batch_size=None)
        [batch] = list(loader)
    assert [(key, codes.shape) for key, codes in batch] == [
        ("talks/anna", (150, 3)),
        ("b", (76, 3)),
    ]


def test_lhotses_own_shards_are_read(cuts: Any, tmp_path: Path) -> None:
    """What lhotse writes of these cuts: ids with dots, no word of how codes are arranged."""
    from encodec_cli.tokens import read_items

    lhotse = imported("lhotse")
    with others_warn():
        renamed = [cut.with_id(f"{cut.id}.v2") for cut in cuts]
        for cut in renamed:
            cut.custom = {"codes": cut.custom["codes"]}
        chosen = lhotse.CutSet.from_cuts(renamed)
        (tmp_path / "out").mkdir()
        chosen.to_shar(tmp_path / "out", fields={"codes": "numpy"}, warn_unused_fields=False)
    found = list(read_items(tmp_path / "out" / "codes.000000.tar"))
    for item, expected in zip(found, ITEMS, strict=True):
        assert isinstance(item, TokenItem), item
        assert item.key == f"{expected.key}.v2"
        np.testing.assert_array_equal(item.codes, expected.codes)


# Columns of many shards


def test_shards_of_one_corpus_have_one_schema(tmp_path: Path) -> None:
    """`n` is whole in one shard and null in the other, `long` a fraction in one only."""
    kinds = column_kinds(item.columns for item in ITEMS)
    schemas = []
    for number, item in enumerate(ITEMS):
        (tmp_path / str(number)).mkdir()
        path = write(tmp_path / str(number), "parquet", [item], kinds=kinds)
        schemas.append(imported("pyarrow.parquet").read_schema(path))
    assert schemas[0] == schemas[1]


@pytest.mark.parametrize("to", FORMATS)
def test_without_columns_there_are_none(to: str, tmp_path: Path) -> None:
    with_none, without = [tmp_path / name for name in "ab"]
    for folder, item in ((with_none, make_item(text=None)), (without, make_item())):
        folder.mkdir()
        path = write(folder, to, [item])
        assert path.is_file()
    if to in ("npz", "safetensors", "shar"):  # these have no null
        assert [p.read_bytes() for p in sorted(with_none.rglob("*.*"))] == [
            p.read_bytes() for p in sorted(without.rglob("*.*"))
        ]
