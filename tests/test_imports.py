"""What imports what: the arrows between folders, what runs without torch, what `__all__` says."""

import ast
import importlib
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from cases import mostly_slow

import encodec_cli

ROOT = Path(encodec_cli.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# The arrows of docs/architecture.md: each folder, and the folders of ours that it may import.
# Every folder may import `errors`. Imports for the type checker count like all others.
LAYERS: dict[str, tuple[str, ...]] = {
    "io": (),
    "entropy": ("io",),
    "dsp": (),
    "fitting": ("dsp",),
    "config": ("io",),
    "audio": ("io",),
    "container": ("entropy", "io"),
    "runtime": ("config",),
    "nn": ("config",),
    "engine": ("config", "nn", "runtime"),
    "model": ("config", "engine", "io", "nn", "runtime"),
    "stream": ("audio", "config", "container", "fitting", "io", "model", "runtime"),
    "checkpoints": ("config", "container", "engine", "entropy", "io", "model", "runtime"),
    "corpus": ("io",),
    "tokens": ("checkpoints", "container", "io"),
    "pipeline": (
        *("audio", "config", "container", "corpus", "entropy", "io", "model", "stream", "tokens"),
    ),
    "evaluation": ("audio", "dsp", "io", "model", "pipeline", "stream"),
    "report": ("audio", "dsp", "evaluation", "io", "model"),
    "train": (
        *("audio", "checkpoints", "config", "dsp", "engine", "entropy", "evaluation", "io"),
        *("model", "nn", "runtime", "stream"),
    ),
    "diagnosis": ("checkpoints", "config", "dsp"),
    "cli": (
        *("audio", "checkpoints", "config", "container", "corpus", "diagnosis", "dsp", "engine"),
        *("evaluation", "io", "model", "pipeline", "report", "stream", "tokens", "train"),
    ),
}
ROOT_FILES = {"__init__.py", "__main__.py", "errors.py"}

# Folders and files that are imported without torch, so that commands on a CPU start fast.
WITHOUT_TORCH = (
    *("__init__.py", "__main__.py", "errors.py"),
    *("audio/", "cli/", "config/", "container/", "corpus/", "diagnosis/"),
    *("dsp/__init__.py", "dsp/bands.py", "entropy/", "fitting/", "io/", "pipeline/"),
    *("runtime/", "stream/", "tokens/", "model/__init__.py", "model/codec.py", "model/device.py"),
    *("checkpoints/__init__.py", "checkpoints/card.py", "checkpoints/download.py"),
    *(
        "checkpoints/lasting.py",
        "checkpoints/load.py",
        "checkpoints/published.py",
        "checkpoints/safetensors_bytes.py",
    ),
    *("checkpoints/foreign/__init__.py", "checkpoints/foreign/identify.py"),
    *("evaluation/__init__.py", "evaluation/alignment.py", "evaluation/metric_names.py"),
    *("evaluation/ogg.py", "evaluation/verdict.py"),
)

# Packages of others, and the only folders or files that may import them.
ONLY_IN: dict[str, tuple[str, ...]] = {
    "soundfile": ("audio/", "diagnosis/doctor.py"),
    "av": ("audio/",),
    "soxr": ("audio/",),
    "typer": ("cli/",),
    "rich": ("cli/", "train/run.py", "train/entropy/run.py"),
    "yaml": ("checkpoints/", "config/", "train/"),
    "torchaudio": ("dsp/torchaudio_import.py",),
    "matplotlib": ("report/",),
    "ray": ("pipeline/ray_running.py",),
    "pyarrow": ("io/parquet.py",),
    "lhotse": ("corpus/lhotse_audio.py",),
}


def name_of(path: Path) -> str:
    """`container/wire.py` and so on, as the tables above name files."""
    return path.relative_to(ROOT).as_posix()


def module_of(path: Path) -> str:
    """`encodec_cli.container.wire` for `container/wire.py`."""
    dotted = ".".join(("encodec_cli", *path.relative_to(ROOT).with_suffix("").parts))
    return dotted.removesuffix(".__init__")


MODULES = {module_of(path): path for path in SOURCES}


def type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


@cache
def imported(path: Path, *, at_start: bool) -> frozenset[str]:
    """Modules that a file imports: anywhere in it, or only when it is imported itself."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {node.module, *inner} if node.module not in MODULES else inner
        elif isinstance(node, ast.Call) and ast.unparse(node.func) == "importlib.import_module":
            found |= {str(each.value) for each in node.args if isinstance(each, ast.Constant)}
        elif at_start and isinstance(node, ast.If) and type_checking(node):
            todo += node.orelse  # for the type checker only, never run
            continue
        functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        if not (at_start and isinstance(node, functions)):
            todo += ast.iter_child_nodes(node)
    return frozenset(found)


def ours(path: Path, *, at_start: bool = False) -> Iterator[Path]:
    """The files of this package that a file imports."""
    for name in imported(path, at_start=at_start):
        module = name if name in MODULES else name.rpartition(".")[0]
        if module in MODULES:
            yield MODULES[module]


def imports(path: Path, package: str, *, at_start: bool = False) -> bool:
    names = imported(path, at_start=at_start)
    return any(name == package or name.startswith(f"{package}.") for name in names)


# ---- folders


def folder_of(path: Path) -> str:
    """The folder of a file; for a file of the root, the file's own name."""
    return path.relative_to(ROOT).parts[0]


def test_the_root_holds_three_files_and_the_folders_of_the_table() -> None:
    assert {path.name for path in ROOT.glob("*.py")} == ROOT_FILES
    assert {folder_of(path) for path in SOURCES} - ROOT_FILES == set(LAYERS)


def test_arrows_between_folders_point_one_way() -> None:
    order = list(TopologicalSorter(LAYERS).static_order())  # raises CycleError for a circle
    assert set(order) == set(LAYERS)


def test_the_page_about_the_architecture_shows_the_same_arrows() -> None:
    page = (ROOT.parent / "docs" / "architecture.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\|([^|]*)\|$", page, re.MULTILINE)
    assert {folder for folder, _ in rows} == set(LAYERS)
    for folder, allowed in rows:
        names = set(re.findall(r"`(\w+)`", allowed))
        if "all but" in allowed:
            names = set(LAYERS) - names - {folder}
        assert names == set(LAYERS[folder]), folder


@pytest.mark.parametrize("folder", LAYERS)
def test_a_folder_imports_only_what_the_table_allows(folder: str) -> None:
    allowed = {folder, "errors.py", "__init__.py", *LAYERS[folder]}
    for path in SOURCES:
        if folder_of(path) == folder:
            foreign = {name_of(other) for other in ours(path) if folder_of(other) not in allowed}
            assert not foreign, f"{name_of(path)} imports {sorted(foreign)}"


@pytest.mark.parametrize("package", ONLY_IN)
def test_a_package_of_others_is_imported_in_one_place(package: str) -> None:
    importers = {name_of(path) for path in SOURCES if imports(path, package)}
    assert importers, f"nothing imports {package}"
    assert {name for name in importers if not name.startswith(ONLY_IN[package])} == set()


# ---- without torch


def loads_torch(path: Path, seen: set[Path]) -> str | None:
    """How importing a file comes to load torch, as a chain of names; None if it does not."""
    for heavy in ("torch", "torchaudio", "safetensors.torch"):
        if imports(path, heavy, at_start=True):
            return f"{name_of(path)} -> {heavy}"
    for other in {*ours(path, at_start=True), *packages_of(path)} - seen:
        seen.add(other)
        chain = loads_torch(other, seen)
        if chain is not None:
            return f"{name_of(path)} -> {chain}"
    return None


def packages_of(path: Path) -> set[Path]:
    """The `__init__.py` of every folder above a file: importing the file runs them."""
    above = path.relative_to(ROOT).parents
    return {ROOT / folder / "__init__.py" for folder in above}


@pytest.mark.parametrize("place", WITHOUT_TORCH)
def test_importing_it_loads_no_torch(place: str) -> None:
    files = [path for path in SOURCES if name_of(path).startswith(place)]
    assert files, f"no file is named {place}"
    for path in files:
        assert loads_torch(path, {path}) is None


def test_the_search_for_torch_finds_it() -> None:
    assert loads_torch(ROOT / "nn/seanet.py", set()) == "nn/seanet.py -> torch"
    chain = loads_torch(ROOT / "train/loop.py", set())
    assert chain is not None
    assert chain.endswith("torch")


def run(program: str, *arguments: str) -> str:
    """Run a program in a fresh interpreter with `loaded()` at hand; its standard output.

    It runs on a CPU, whatever else this machine has.
    """
    prelude = "import sys\ndef loaded(): return [m for m in sys.modules if m.split('.')[0] in H]\n"
    result = subprocess.run(
        [sys.executable, "-c", f"H = {HEAVY!r}\n{prelude}{program}", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


HEAVY = ["torch", "torchaudio", "scipy", "matplotlib"]
COMMAND = """
from encodec_cli.cli.app import app
try: app(prog_name="encodec-cli")
except SystemExit as left: assert not left.code, left.code
print("loaded:", loaded())
"""


@pytest.fixture(scope="module")
def ecdc(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from ecdc_samples import make_ecdc, small_header

    from encodec_cli.container import write_ecdc

    path = tmp_path_factory.mktemp("imports") / "x.ecdc"
    write_ecdc(path, make_ecdc(small_header(), 5000))
    return path


@pytest.mark.parametrize(
    "arguments",
    mostly_slow(
        [
            ["encode", "--help"],
            ["info", "FILE"],
            ["verify", "FILE"],
            ["peel", "FILE", "OUT", "--n-q", "1"],
            ["--help"],
            ["--version"],
            ["models", "--help"],
            ["models", "list"],
            ["info", "FILE", "--json"],
        ],
        3,
    ),
    ids=" ".join,
)
def test_commands_without_a_network_load_no_torch(
    arguments: list[str], ecdc: Path, tmp_path: Path
) -> None:
    places = {"FILE": str(ecdc), "OUT": str(tmp_path / "out.ecdc")}
    output = run(COMMAND, *(places.get(argument, argument) for argument in arguments))
    assert output.endswith("loaded: []\n")


@pytest.fixture(scope="module")
def speech(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a third of a second of sound, and what the bundled model makes of it."""
    from cli_samples import run, write_audio

    folder = tmp_path_factory.mktemp("speech")
    source = write_audio(folder / "x.wav", 8000, rate=16_000)
    run("encode", source, folder / "x.ecdc", "--device", "cpu").ok()
    run("tokens", source, "--to", "npz", "-o", folder, "--device", "cpu").ok()
    return folder


@pytest.mark.parametrize(
    "arguments",
    mostly_slow(
        [
            ["encode", "x.wav", "OUT/a.ecdc"],
            ["decode", "x.ecdc", "OUT/a.wav"],
            ["tokens", "x.wav", "--to", "npz", "-o", "OUT"],
            ["encode", "x.wav", "OUT/a.ecdc", "-b", "3", "--search", "1", "--threads", "1"],
            ["encode", "x.wav", "-o", "OUT", "--skip-existing"],
            ["encode", "x.wav", "OUT/a.ecdc", "--latency", "80", "--verbose"],
            ["decode", "x.ecdc", "OUT/a.wav", "--start", "0.1", "--sample-rate", "source"],
            ["decode", "x.npz", "OUT/a.wav"],
            ["tokens", "x.wav", "--to", "safetensors", "-o", "OUT"],
            ["tokens", "x.wav", "--to", "parquet", "-o", "OUT"],
            ["tokens", "x.wav", "--to", "webdataset", "-o", "OUT"],
            ["roundtrip", "--help"],
        ],
        3,
    ),
    ids=" ".join,
)
def test_the_bundled_model_codes_without_torch(
    arguments: list[str], speech: Path, tmp_path: Path
) -> None:
    places = {"OUT": str(tmp_path)}
    for file in speech.iterdir():
        places[file.name] = str(file)
    words = [
        "/".join(places.get(part, part) for part in argument.split("/")) for argument in arguments
    ]
    assert run(COMMAND, *words).endswith("loaded: []\n")


ARRAYS = """
import numpy as np
from encodec_cli import decode, encode, load_model, stream_decoder, stream_encoder
model = load_model()
wav = (0.1 * np.sin(np.arange(5000) / 7))[None]
assert decode(model, encode(model, wav)).shape == wav.shape
encoder, decoder = stream_encoder(model, 2), stream_decoder(model)
chunks = encoder.push(wav.astype(np.float32)) + encoder.finish()
assert sum(decoder.push(c.codes, c.scale).shape[1] for c in chunks) == 0
assert decoder.finish().shape[1] >= 5000
"""


def test_arrays_are_coded_without_torch() -> None:
    assert run(f"{ARRAYS}print(loaded())") == "[]\n"


def test_importing_the_package_loads_next_to_nothing() -> None:
    assert run("import encodec_cli; encodec_cli.__version__; print(loaded())") == "[]\n"
    heavy = "'torch' in sys.modules, 'numpy' in sys.modules, 'yaml' in sys.modules"
    assert run(f"import encodec_cli; print({heavy})") == "False False False\n"
    app = f"import encodec_cli.cli.app; print({heavy})"
    assert run(app) == "False False False\n"
    errors = "from encodec_cli import EncodecCliError, read_ecdc; print(loaded())"
    assert run(errors) == "[]\n"


# ---- exports


@pytest.mark.parametrize("name", [name for name in MODULES if not name.endswith("__main__")])
def test_all_names_what_is_there(name: str) -> None:
    module = importlib.import_module(name)
    path = Path(str(module.__file__))
    names = getattr(module, "__all__", None)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path.name == "__init__.py" and len(tree.body) <= 1:
        return  # a folder that exports nothing: at most a docstring
    assert names is not None, f"{name} has no __all__"
    assert len(set(names)) == len(names)
    for each in names:
        assert hasattr(module, each), f"{name}.__all__ names {each}"
        assert not each.startswith("_")
    # What is defined here with a public name is exported, or the name is a lie.
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    if not name.startswith("encodec_cli.cli"):  # Typer finds its commands by registration
        assert {n for n in defined if not n.startswith("_") and n not in names} == set()


def test_unknown_names_of_the_package_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = encodec_cli.nothing
    assert set(encodec_cli.__all__) <= set(dir(encodec_cli))
