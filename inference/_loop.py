"""The one host loop: compiled chunks, with progress, Ctrl-C, checkpoint and resume. Every long verb runs on it."""

import hashlib
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from ._precision import is_key

Output = dict[str, np.ndarray]
Advance = Callable[[Any, int], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True)
class Looped:
    """What a loop gave.

    Attributes:
        state: after the last finished chunk.
        output: NumPy arrays by name, chunks joined along the first axis; empty if no chunk finished.
        done: units finished, of `total`.
        interrupted: stopped by Ctrl-C.
        first_seconds: the first chunk of this process, compilation included.
        rest_seconds: the others.
        stopped: why `until` ended it before all was done; empty if it did not.
    """

    state: Any
    output: Output
    done: int
    total: int
    interrupted: bool
    first_seconds: float
    rest_seconds: float
    stopped: str = ""

    @property
    def status(self) -> str:
        """Empty when all is done; else a sentence."""
        if self.done >= self.total or self.stopped:
            return ""
        return f"Interrupted after {self.done} of {self.total}: what is done is returned; resume to finish."


def chunk_size(total: int, target: int, multiple: int = 1) -> int:
    """Chunks of about `target` that divide `total` with the least overshoot, in multiples of `multiple`."""
    pieces = max(1, round(total / max(target, 1)))
    size = -(-total // pieces)
    return -(-size // multiple) * multiple


def digest(*trees: Any) -> str:
    """A fingerprint of everything in `trees`: arrays by their bytes, the rest (functions too) by its looks."""
    mark = hashlib.sha256(eqx.tree_pformat(trees, short_arrays=True).encode())
    for x in _arrays(eqx.filter(trees, eqx.is_array)):
        mark.update(f"{x.dtype}{x.shape}".encode() + np.ascontiguousarray(x).tobytes())
    return mark.hexdigest()


def loop(
    advance: Advance,
    state: Any,
    *,
    total: int,
    chunk: int,
    label: str,
    progress: bool = True,
    checkpoint: str | os.PathLike | None = None,
    resume: bool = False,
    fingerprint: Any = None,
    every_seconds: float = 5.0,
    until: Callable[[Output], str] | None = None,
) -> Looped:
    """Run `advance(state, start) -> (state, output)` until `total` units are done, `chunk` at a time.

    Args:
        advance: one compiled chunk; it outputs arrays by name, with a first axis of `chunk` units.
        state: where to begin.
        total: units in all; the last chunk may overshoot, its surplus output is cut.
        chunk: units a call.
        label: what the progress bar says.
        progress: show a bar when standard error is a terminal.
        checkpoint: file to keep state and output in, written whole or not at all.
        resume: continue from `checkpoint` if it is there.
        fingerprint: anything JSON-able that must agree between the run that wrote the checkpoint and this one.
        every_seconds: at most one checkpoint in this time, and one at the end.
        until: looks at all output so far, between chunks; a sentence ends the loop, `""` lets it go on.

    Raises:
        ValueError: the checkpoint belongs to another computation.
    """
    pieces: list[Output] = []
    done = 0
    mark = hashlib.sha256(json.dumps(fingerprint, sort_keys=True, default=str).encode()).hexdigest()
    if checkpoint is not None and resume and Path(checkpoint).exists():
        state, pieces, done = _load(Path(checkpoint), state, mark)
    began = saved = time.perf_counter()
    first = None
    interrupted = False
    ended = lambda: until(_joined(pieces)) if until is not None and pieces else ""
    stopped = ended()
    with _bar(label, total, done, progress) as bar:
        try:
            while done < total and not stopped:
                state, output = jax.block_until_ready(advance(state, done))
                pieces.append({name: np.asarray(x) for name, x in output.items()})
                done += chunk
                now = time.perf_counter()
                first = now - began if first is None else first
                bar(min(done, total))
                stopped = ended()
                if checkpoint is not None and (now - saved > every_seconds or done >= total or stopped):
                    _save(Path(checkpoint), state, pieces, done, mark)
                    saved = now
        except KeyboardInterrupt:
            interrupted = True
            if checkpoint is not None and pieces:
                _save(Path(checkpoint), state, pieces, done, mark)
    output = {name: x[:total] for name, x in _joined(pieces).items()}
    spent = time.perf_counter() - began
    first = spent if first is None else first
    return Looped(state, output, min(done, total), total, interrupted, first, spent - first, stopped)


class _Quiet:
    def __enter__(self) -> Callable[[int], None]:
        return lambda done: None

    def __exit__(self, *_: Any) -> None:
        return None


class _Bar:
    def __init__(self, label: str, total: int, done: int):
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

        columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
        self.progress = Progress(*columns, console=Console(stderr=True), transient=True)
        self.task = self.progress.add_task(label, total=total, completed=done)

    def __enter__(self) -> Callable[[int], None]:
        self.progress.__enter__()
        return lambda done: self.progress.update(self.task, completed=done)

    def __exit__(self, *problem: Any) -> None:
        self.progress.__exit__(*problem)


def _bar(label: str, total: int, done: int, wanted: bool) -> _Bar | _Quiet:
    return _Bar(label, total, done) if wanted and sys.stderr.isatty() else _Quiet()


def _arrays(tree: Any) -> list[np.ndarray]:
    return [np.asarray(jax.random.key_data(x) if is_key(x) else x) for x in jax.tree.leaves(tree)]


def _joined(pieces: list[Output]) -> Output:
    return {name: np.concatenate([piece[name] for piece in pieces]) for name in pieces[0]} if pieces else {}


def _save(path: Path, state: Any, pieces: list[Output], done: int, mark: str) -> None:
    content = {f"state{i}": x for i, x in enumerate(_arrays(state))}
    content |= {f"output:{name}": x for name, x in _joined(pieces).items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
    with os.fdopen(handle, "wb") as file:
        np.savez(file, allow_pickle=False, done=done, mark=np.array(mark), **content)
    os.replace(name, path)


def _load(path: Path, state: Any, mark: str) -> tuple[Any, list[Output], int]:
    with np.load(path, allow_pickle=False) as content:
        if str(content["mark"]) != mark:
            raise ValueError(
                f"`checkpoint` {path} belongs to another computation (data, model or settings differ). "
                "Delete it, or pass `resume=False` to start again."
            )
        leaves, structure = jax.tree.flatten(state)
        saved = [content[f"state{i}"] for i in range(len(leaves))]
        output = {name[7:]: content[name] for name in content.files if name.startswith("output:")}
        done = int(content["done"])
    restored = [
        jax.random.wrap_key_data(jnp.asarray(x), impl=jax.random.key_impl(y)) if is_key(y) else jnp.asarray(x)
        for x, y in zip(saved, leaves, strict=True)
    ]
    return jax.tree.unflatten(structure, restored), [output] if output else [], done
