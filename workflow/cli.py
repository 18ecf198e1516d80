"""The command line. Each command calls `start_jax` and imports what it needs when it runs, so help is instant."""

import _thread
import sys
import threading
from pathlib import Path
from typing import Annotated

import typer

# Plain help and tracebacks: typer's rich ones cost more to import than all the rest.
app = typer.Typer(
    add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False, rich_markup_mode=None, name="fairhand"
)

DEMO = Path("runs/demo")  # replaced without asking
Out = Annotated[Path, typer.Option("--out", help="Run directory.")]
Set = Annotated[list[str] | None, typer.Option("--set", help="Override a key: --set market.capacity.air=50.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace a run that is already there.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]


@app.callback()
def fairhand() -> None:
    """Design rules that share scarce things without money, from data, and say how sure they are."""


@app.command()
def demo(out: Out = DEMO, overwrite: Overwrite = False, quiet: Quiet = False) -> None:
    """Ration seats between three cities: fit, tune, propagate, audit and report on real data, in about a minute."""
    from .study import packaged_study

    _run(packaged_study(), out, (), overwrite or out == DEMO, quiet)


@app.command()
def run(
    study: Annotated[Path, typer.Argument(help="A study in TOML.")],
    out: Out,
    settings: Set = None,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
) -> None:
    """Run a study: TOML in, report out."""
    _run(study, out, tuple(settings or ()), overwrite, quiet)


@app.command()
def resume(
    directory: Annotated[Path, typer.Argument(help="A run that was interrupted or killed.")], quiet: Quiet = False
) -> None:
    """Finish an interrupted run, from where it stopped."""

    def go() -> None:
        from .run import resume_study

        resume_study(directory, _say(quiet), not quiet)

    _guard(go)


@app.command()
def check(study: Annotated[Path, typer.Argument(help="A study in TOML.")], settings: Set = None) -> None:
    """Read a study and its data and say what is wrong, without running anything."""

    def go() -> None:
        from ..models.choice import identification
        from .market import settle
        from .study import load_study

        setting = settle(load_study(study, tuple(settings or ()))[0], study.parent)
        print(
            f"{setting.data.source}: {setting.data.num_situations} choices among {', '.join(setting.data.alternatives)}"
        )
        print(identification.require(setting.model, setting.data))
        print(f"groups: {'; '.join(setting.groups)}")

    _guard(go)


@app.command()
def init(path: Annotated[Path, typer.Argument(help="File to write.")] = Path("study.toml")) -> None:
    """Write a study to start from: the demo's, with every key explained by its name."""
    from .study import packaged_study

    if path.exists():
        _fail(f"{path}: is already there; name another file.")
    try:
        path.write_text(packaged_study().read_text(encoding="utf-8"), encoding="utf-8")
    except OSError as problem:
        _fail(f"{path}: cannot be written ({problem.strerror}).")
    print(f"wrote {path}; run it with: fairhand run {path} --out runs/mine")


def _run(path: Path, out: Path, settings: tuple[str, ...], overwrite: bool, quiet: bool) -> None:
    def go() -> None:
        from .directory import RunDirectory
        from .market import settle
        from .run import run_study
        from .study import PACKAGED, load_study

        study, raw = load_study(path, settings)
        setting = settle(study, path.parent)  # refuses bad input before an old run is touched
        if not study.data.file.startswith(PACKAGED):
            raw["data"]["file"] = str(study.data_path(path.parent).resolve())
        run_study(setting, RunDirectory.create(out, raw, overwrite), _say(quiet), not quiet)

    _guard(go)


def _say(quiet: bool):
    return (lambda sentence: None) if quiet else (lambda sentence: print(sentence, flush=True))


def _guard(go) -> None:
    """Start JAX and go. Errors of users in one sentence and exit code 2; Ctrl-C in one sentence and 130."""
    before, sys.unraisablehook = sys.unraisablehook, _never_swallow_ctrl_c
    try:
        from ._start import start_jax

        start_jax()
        go()
    except ValueError as problem:
        _fail(str(problem))
    except OSError as problem:  # a full disk, a folder that went away
        _fail(str(problem) if problem.filename is None else f"{problem.filename}: {problem.strerror}.")
    except KeyboardInterrupt:
        _fail("Interrupted.", 130)
    except Exception as problem:
        if type(problem).__name__ != "Interrupted":
            raise
        _fail(str(problem), 130)
    finally:
        sys.unraisablehook = before


def _never_swallow_ctrl_c(lost) -> None:
    """Python drops what is raised in a callback of its garbage collector, and JAX has one: interrupt again, outside."""
    if lost.exc_type is KeyboardInterrupt:
        threading.Timer(0.05, _thread.interrupt_main).start()
    else:
        sys.__unraisablehook__(lost)


def _fail(sentence: str, code: int = 2) -> None:
    typer.echo(f"fairhand: {sentence}", err=True)
    raise typer.Exit(code)
