"""What imports what: commands that need no network start without torch; layers stay layers."""

import ast
import importlib
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import encodec_cli

ROOT = Path(encodec_cli.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))


def name_of(path: Path) -> str:
    """`container/wire.py` and so on, as the rules below name modules."""
    return path.relative_to(ROOT).as_posix()


def imported(path: Path, *, top_level: bool) -> set[str]:
    """Modules that a file imports: when it is imported itself, or anywhere in it."""
    found: set[str] = set()
    todo: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while todo:
        node = todo.pop()
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module is not None
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            todo += node.orelse  # for the type checker only, never run
            continue
        functions = ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
        if not (top_level and isinstance(node, functions)):
            todo += ast.iter_child_nodes(node)
    return found


def imports(path: Path, package: str, *, top_level: bool = False) -> bool:
    names = imported(path, top_level=top_level)
    return any(name == package or name.startswith(f"{package}.") for name in names)


def test_there_are_sources() -> None:
    names = {name_of(path) for path in SOURCES}
    assert names >= {"errors.py", "nn/seanet.py", "cli/app.py", "train/loop.py"}


# ---- without torch

LIGHT = ("audio/", "cli/", "container/", "entropy/", "tokens/")
LIGHT_MODULES = {
    "__init__.py",
    "__main__.py",
    "judging/__init__.py",
    "judging/alignment.py",
    "config.py",
    "convert/__init__.py",
    "convert/identify.py",
    "errors.py",
    "files.py",
    "frames.py",
    "installation.py",
    "latency.py",
    "manifest.py",
    "mappings.py",
    "judging/metric_names.py",
    "model_file.py",
    "judging/ogg.py",
    "published.py",
    "resources.py",
    "safetensors_bytes.py",
    "text.py",
    "judging/verdict.py",
}


def light(path: Path) -> bool:
    return name_of(path).startswith(LIGHT) or name_of(path) in LIGHT_MODULES


def test_modules_without_torch_import_none_that_has_it() -> None:
    """Module by module: torch itself, or a module of ours that is not light."""
    heavy_files = [name_of(path).removesuffix(".py") for path in SOURCES if not light(path)]
    dotted = [f"encodec_cli.{name.replace('/', '.')}" for name in heavy_files]
    heavy_names = {name.removesuffix(".__init__") for name in dotted}
    checked = 0
    for path in filter(light, SOURCES):
        names = imported(path, top_level=True)
        for heavy in ("torch", "torchaudio", "safetensors.torch"):
            assert not imports(path, heavy, top_level=True), f"{path} imports {heavy}"
        assert not names & heavy_names, f"{path} imports {names & heavy_names}"
        checked += 1
    assert checked > 30


def run(program: str, *arguments: str) -> str:
    """Run a program in a fresh interpreter with `loaded()` at hand; its standard output."""
    prelude = "import sys\ndef loaded(): return [m for m in sys.modules if m.split('.')[0] in H]\n"
    result = subprocess.run(
        [sys.executable, "-c", f"H = {HEAVY!r}\n{prelude}{program}", *arguments],
        capture_output=True,
        text=True,
        check=False,
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
    [
        ["--help"],
        ["--version"],
        ["encode", "--help"],
        ["models", "--help"],
        ["models", "list"],
        ["info", "FILE"],
        ["info", "FILE", "--json"],
        ["verify", "FILE"],
        ["peel", "FILE", "OUT", "--n-q", "1"],
    ],
    ids=" ".join,
)
def test_commands_without_a_network_load_no_torch(
    arguments: list[str], ecdc: Path, tmp_path: Path
) -> None:
    places = {"FILE": str(ecdc), "OUT": str(tmp_path / "out.ecdc")}
    output = run(COMMAND, *(places.get(argument, argument) for argument in arguments))
    assert output.endswith("loaded: []\n")


def test_importing_the_package_loads_next_to_nothing() -> None:
    assert run("import encodec_cli; encodec_cli.__version__; print(loaded())") == "[]\n"
    heavy = "'torch' in sys.modules, 'numpy' in sys.modules, 'yaml' in sys.modules"
    assert run(f"import encodec_cli; print({heavy})") == "False False False\n"
    app = f"import encodec_cli.cli.app; print({heavy})"
    assert run(app) == "False False False\n"
    errors = "from encodec_cli import EncodecCliError, read_ecdc; print(loaded())"
    assert run(errors) == "[]\n"


# ---- layers


def importers(package: str) -> set[str]:
    return {name_of(path) for path in SOURCES if imports(path, package)}


@pytest.mark.parametrize(
    ("package", "allowed"),
    [
        ("soundfile", ("audio/", "doctor.py")),
        ("soxr", "audio/"),
        ("typer", "cli/"),
        ("encodec_cli.cli", ("cli/", "__main__.py")),
        ("encodec_cli.train", ("train/", "cli/training.py")),
        ("pesq", "judging/metrics.py"),
        ("pystoi", "judging/metrics.py"),
        ("torchaudio", "torchaudio_import.py"),
        ("matplotlib", "report/"),
        ("encodec_cli.report", ("report/", "cli/report.py")),
    ],
)
def test_only_one_layer_imports(package: str, allowed: str | tuple[str, ...]) -> None:
    assert {name for name in importers(package) if not name.startswith(allowed)} == set()


def test_the_layers_exist() -> None:
    """The rules above would hold for names that nobody imports at all."""
    assert all(importers(package) for package in ("soundfile", "soxr", "typer"))
    assert importers("encodec_cli.train") > {"cli/training.py"}


def test_networks_know_only_configs_and_errors() -> None:
    for path in SOURCES:
        if name_of(path).startswith("nn/"):
            ours = {n for n in imported(path, top_level=False) if n.startswith("encodec_cli.")}
            outside = {n for n in ours if not n.startswith("encodec_cli.nn")}
            assert all(
                n.startswith(("encodec_cli.config.codec", "encodec_cli.errors")) for n in outside
            ), path


def test_the_container_knows_no_network_and_no_sound() -> None:
    allowed = ("container", "entropy", "errors", "files", "frames")
    for path in SOURCES:
        if name_of(path).startswith("container/"):
            ours = {n for n in imported(path, top_level=False) if n.startswith("encodec_cli.")}
            assert {n.split(".")[1] for n in ours} <= set(allowed), path


# ---- exports

MODULES = sorted(
    m.name
    for m in pkgutil.walk_packages([str(ROOT)], "encodec_cli.")
    if not m.name.endswith("__main__")
)


@pytest.mark.parametrize("name", ["encodec_cli", *MODULES])
def test_all_names_what_is_there(name: str) -> None:
    module = importlib.import_module(name)
    path = Path(str(module.__file__))
    names = getattr(module, "__all__", None)
    if not path.read_text(encoding="utf-8").strip():
        return  # a package without code
    assert names is not None, f"{name} has no __all__"
    assert len(set(names)) == len(names)
    for each in names:
        assert hasattr(module, each), f"{name}.__all__ names {each}"
        assert not each.startswith("_")
    # What is defined here with a public name is exported, or the name is a lie.
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.FunctionDef | ast.ClassDef)}
    if not name.startswith("encodec_cli.cli"):  # Typer finds its commands by registration
        assert {n for n in defined if not n.startswith("_") and n not in names} == set()


def test_unknown_names_of_the_package_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = encodec_cli.nothing
    assert set(encodec_cli.__all__) <= set(dir(encodec_cli))
