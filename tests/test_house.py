"""The house rules: what is packaged, who imports whom, what loads when, and what no file may say."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import fairhand

ROOT = Path(__file__).parents[1]
LAYERS = ["models", "mechanisms", "inference", "workflow"]  # each may import those before it
NOT_OURS = {"build", "dist", "runs", "__pycache__"}


def files() -> Iterator[Path]:
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [f for f in folders if f == ".ci" or not (f.startswith(".") or f in NOT_OURS or "egg-info" in f)]
        yield from (Path(folder, name) for name in names)


MODULES = {
    path.relative_to(ROOT).as_posix(): path.read_text()
    for path in files()
    if path.suffix == ".py" and (path.parent == ROOT or path.relative_to(ROOT).parts[0] in LAYERS)
}


def imported(file: str, source: str) -> Iterator[tuple[str, bool]]:
    """The dotted path from the root of everything `file` imports of the house, and whether it says so relatively."""
    package = file.split("/")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [(alias.name, False) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = package[: len(package) - node.level + 1] if node.level else []
            whole = ".".join([*base, *([node.module] if node.module else [])])
            names = [(f"{whole}.{alias.name}".strip("."), node.level > 0) for alias in node.names]
        else:
            continue
        for name, relative in names:
            if relative or name.split(".")[0] in ("fairhand", *LAYERS):
                yield name.removeprefix("fairhand."), relative


def upward(file: str, source: str) -> list[str]:
    """Imports of a later layer, or of the root, whose names belong to all layers."""
    if file.split("/")[0] not in LAYERS:
        return []  # the root opens every door
    allowed = LAYERS[: LAYERS.index(file.split("/")[0]) + 1]
    return [name for name, _ in imported(file, source) if name.split(".")[0] not in allowed]


def absolute(file: str, source: str) -> list[str]:
    return [name for name, relative in imported(file, source) if not relative]


def test_every_package_is_listed():
    listed = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = [p.parent.relative_to(ROOT).parts for p in files() if p.name == "__init__.py"]
    assert sorted(listed) == sorted(".".join(("fairhand", *parts)) for parts in found)


@pytest.mark.parametrize("file", MODULES)
def test_imports_go_one_way(file):
    assert not upward(file, MODULES[file])


@pytest.mark.parametrize("file", MODULES)
def test_imports_inside_the_package_are_relative(file):
    assert not absolute(file, MODULES[file])


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("models/laws.py", "from ..mechanisms import base"),
        ("models/laws.py", "from .. import mechanisms"),
        ("models/laws.py", "from .. import fit"),
        ("models/choice/logit.py", "from ...inference._fit import fit"),
        ("mechanisms/play.py", "from fairhand.inference import fit"),
        ("mechanisms/play.py", "def f():\n    import fairhand.workflow.cli"),
        ("mechanisms/__init__.py", "from ..inference import fit"),
        ("inference/tune.py", "from fairhand import workflow"),
        ("inference/tune.py", "import fairhand"),
    ],
)
def test_an_upward_import_is_caught(file, line):
    assert upward(file, line)


@pytest.mark.parametrize(
    ("file", "line"),
    [
        ("mechanisms/classic/serial.py", "from ...models.population import Population\nfrom ..base import Allocation"),
        ("mechanisms/__init__.py", "from . import metrics\nfrom .play import play"),
        ("workflow/cli.py", "import typer\nfrom ..inference import fit\nfrom .. import models"),
    ],
)
def test_a_proper_import_passes(file, line):
    assert not upward(file, line)
    assert not absolute(file, line)


@pytest.mark.parametrize("line", ["import fairhand.models", "from fairhand import models", "from models import laws"])
def test_an_absolute_import_is_caught(line):
    assert absolute("mechanisms/play.py", line)


# Written so that this file passes its own test.
FORBIDDEN = re.compile(r"(?<![\w.])/(home|root|Users|mnt|opt)/\w|[A-Z]:\\+Users|(pypi|pythonhosted)\.org|index[-]url")


def says_where(text: str) -> re.Match[str] | bool | None:
    return FORBIDDEN.search(text) or str(ROOT) in text


@pytest.mark.parametrize("file", [str(p.relative_to(ROOT)) for p in files()])
def test_no_file_names_a_machine_or_a_registry(file):
    assert not says_where((ROOT / file).read_text(errors="ignore"))


@pytest.mark.parametrize(
    "words", [("/ho", "me/someone/x.csv"), ("https://py", "pi.org/simple"), ("--index", "-url x"), (str(ROOT), "/x")]
)
def test_a_machine_or_a_registry_is_caught(words):
    assert says_where("".join(words))


def test_pins_name_no_address():
    assert "http" not in (ROOT / "constraints.txt").read_text()


def test_typed_names_are_the_lazy_names():
    block = next(node for node in ast.parse(MODULES["__init__.py"]).body if isinstance(node, ast.If))
    typed = [alias.name for node in block.body if isinstance(node, ast.ImportFrom) for alias in node.names]
    assert sorted(["__version__", *typed]) == sorted(fairhand.__all__)


@pytest.mark.parametrize("name", fairhand.__all__)
def test_every_public_name_resolves(name):
    assert getattr(fairhand, name) is not None
    assert name in dir(fairhand)


def test_an_unknown_name_is_refused():
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = fairhand.nothing  # pyright: ignore[reportAttributeAccessIssue]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-I", *arguments], capture_output=True, text=True, check=False)


LOADED = "import sys; heavy = {'jax', 'numpy', 'pandas', 'rich'} & set(sys.modules); assert not heavy, heavy"


@pytest.mark.parametrize("how", ["import fairhand", "import fairhand; dir(fairhand); fairhand.__version__"])
def test_import_loads_nothing_heavy(how):
    assert python("-c", f"{how}; {LOADED}").stderr == ""


def test_help_loads_nothing_heavy():
    program = f"""
import sys
from fairhand.__main__ import main
sys.argv = ["fairhand", "--help"]
try:
    main()
except SystemExit as stop:
    assert stop.code == 0, stop.code
{LOADED}
"""
    done = python("-c", program)
    assert done.stderr == ""
    assert "Usage: fairhand" in done.stdout


def test_module_and_script_show_help():
    script = Path(sys.executable).with_name("fairhand")
    assert python("-m", "fairhand", "--help").returncode == 0
    assert subprocess.run([script, "--help"], capture_output=True, check=False).returncode == 0
