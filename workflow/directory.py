"""A run directory: what is in it, and saying so when it is not finished."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tomli_w

from .study import StudyError

MARK = "INCOMPLETE"
FILES = (
    "study.toml", "posterior.nc", "rule.json", "tuned.json", "outcome.nc", "audit.json", "designs.json", "report.html"
)  # fmt: skip


class RunDirectory:
    """Files of one run. Every file is written whole or not at all; `INCOMPLETE` stands there until the last one is."""

    def __init__(self, path: Path):
        self.path = path

    @classmethod
    def create(cls, path: Path, raw: dict[str, Any], overwrite: bool) -> "RunDirectory":
        """A fresh directory for the study `raw`.

        Raises:
            StudyError: it cannot be written, or holds something else than a run of ours.
        """
        run = cls(path)
        try:
            if path.exists() and not path.is_dir():
                raise StudyError(f"--out {path}: is a file; name a directory.")
            if path.exists() and any(path.iterdir()):
                if not run.incomplete and not all(run.has(name) for name in ("study.toml", "report.html")):
                    raise StudyError(f"--out {path}: is not empty and holds no run; name another directory.")
                if not overwrite and run.has("study.toml"):
                    hint = "`fairhand resume` finishes it" if run.incomplete else "it is finished"
                    raise StudyError(f"--out {path}: already holds a run ({hint}); name another, or pass --overwrite.")
            path.mkdir(parents=True, exist_ok=True)
            run.say("The run has begun and is not finished. `fairhand resume` on this directory finishes it.")
            for old in path.iterdir():
                if old.is_file() and (old.name in FILES or old.suffix == ".partial"):
                    old.unlink()
            for old in (path / "partial").glob("*") if (path / "partial").exists() else ():
                old.unlink()
            run.write("study.toml", tomli_w.dumps(raw))
        except OSError as problem:
            raise StudyError(f"--out {path}: cannot be written ({problem.strerror}); name another directory.") from None
        return run

    @classmethod
    def open(cls, path: Path) -> "RunDirectory":
        """An existing run.

        Raises:
            StudyError: there is none.
        """
        run = cls(path)
        if not run.has("study.toml"):
            raise StudyError(f"{path}: holds no run to resume (no study.toml); start one with `fairhand run`.")
        if not os.access(path, os.W_OK):
            raise StudyError(f"{path}: cannot be written; resume a copy of it that can.")
        return run

    @property
    def incomplete(self) -> bool:
        """Whether the last file is still to come."""
        return (self.path / MARK).exists()

    def say(self, sentence: str) -> None:
        """Say what is unfinished."""
        (self.path / MARK).write_text(sentence + "\n", encoding="utf-8")

    def finish(self) -> None:
        """All files are there: drop the checkpoints and the mark."""
        folder = self.path / "partial"
        if folder.exists():
            for old in folder.iterdir():
                old.unlink()
            folder.rmdir()
        (self.path / MARK).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether a file is there."""
        return (self.path / name).exists()

    def file(self, name: str) -> Path:
        """Path of a file."""
        return self.path / name

    def checkpoint(self, name: str) -> Path:
        """Where a verb keeps what it has done so far."""
        return self.path / "partial" / f"{name}.npz"

    def save(self, name: str, writer: Callable[[Path], Any]) -> None:
        """Let `writer` write a file, whole or not at all."""
        partial = self.path / f"{name}.partial"
        writer(partial)
        os.replace(partial, self.path / name)

    def write(self, name: str, text: str) -> None:
        """Write a text file whole or not at all."""
        self.save(name, lambda partial: partial.write_text(text, encoding="utf-8"))

    def write_json(self, name: str, value: Any) -> None:
        """Write JSON; NaN stays NaN."""
        self.write(name, json.dumps(value, indent=1))

    def read_json(self, name: str) -> Any:
        """Read JSON."""
        return json.loads(self.file(name).read_text(encoding="utf-8"))
