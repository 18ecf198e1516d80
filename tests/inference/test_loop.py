"""The host loop: chunks, interruption, checkpoints that resume bit by bit, and their refusal."""

import importlib
import io
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from rules.level import Level, given, surplus

import fairhand as fh
from fairhand.inference._loop import chunk_size, digest, loop
from fairhand.mechanisms import mean, metrics
from fairhand.models import Draws, Independent, Uniform

KEY = jax.random.key(0)
WORLD = Independent(Uniform(0.0, 1.6), 2, 5)
WORLDS = Draws.of(Independent(Uniform(np.zeros(24), np.linspace(1, 2, 24)), 2, 5), lambda w: [w.law.low, w.law.high])


@jax.jit
def walk(state, start):
    """Four random steps from `state`."""
    key, x = state
    steps = jax.random.normal(jax.random.fold_in(key, start), (4,))
    path = x + jnp.cumsum(steps)
    return (key, path[-1]), {"path": path}


def run(advance=walk, total=20, **settings):
    return loop(advance, (KEY, jnp.zeros(())), total=total, chunk=4, label="walk", progress=False, **settings)


def stop_after(calls, advance=walk, problem=KeyboardInterrupt):
    """`advance` that is interrupted at call number `calls + 1`."""
    made = []

    def stopping(*args, **kwargs):
        if len(made) == calls:
            raise problem
        made.append(1)
        return advance(*args, **kwargs)

    return stopping


def test_surplus_of_the_last_chunk_is_cut():
    assert run(total=18).output["path"].shape == (18,)
    np.testing.assert_array_equal(run(total=18).output["path"], run(total=20).output["path"][:18])
    assert run().status == ""


@pytest.mark.parametrize(
    ("total", "target", "multiple", "size"),
    [(100, 25, 1, 25), (10, 25, 1, 10), (24, 8, 1, 8), (10, 8, 4, 12), (7, 3, 1, 4)],
)
def test_chunks_divide_with_little_overshoot(total, target, multiple, size):
    assert chunk_size(total, target, multiple) == size


def test_interruption_returns_what_is_done_with_a_sentence():
    looped = run(stop_after(2))
    assert looped.interrupted
    assert looped.done == 8
    assert looped.status == "Interrupted after 8 of 20: what is done is returned; resume to finish."
    np.testing.assert_array_equal(looped.output["path"], run().output["path"][:8])
    nothing = run(stop_after(0))
    assert nothing.done == 0
    assert nothing.output == {}


def test_other_errors_are_not_swallowed(tmp_path):
    with pytest.raises(ZeroDivisionError):
        run(stop_after(2, problem=ZeroDivisionError), checkpoint=tmp_path / "walk")


@pytest.mark.parametrize("stop", [1, 3])
def test_a_resumed_loop_is_the_uninterrupted_one(tmp_path, stop):
    path = tmp_path / "deep" / "walk"
    run(stop_after(stop), checkpoint=path, fingerprint="a")
    resumed = run(checkpoint=path, resume=True, fingerprint="a")
    np.testing.assert_array_equal(resumed.output["path"], run().output["path"])
    assert resumed.status == ""
    assert [p.name for p in path.parent.iterdir()] == ["walk"]  # no half-written files stay


def test_a_finished_checkpoint_is_not_run_again(tmp_path):
    run(checkpoint=tmp_path / "walk")
    again = run(stop_after(0, problem=AssertionError), checkpoint=tmp_path / "walk", resume=True)
    np.testing.assert_array_equal(again.output["path"], run().output["path"])


def test_without_resume_a_checkpoint_is_written_anew(tmp_path):
    run(stop_after(1), checkpoint=tmp_path / "walk", fingerprint="a")
    run(checkpoint=tmp_path / "walk", fingerprint="b")
    assert run(checkpoint=tmp_path / "walk", fingerprint="b", resume=True).status == ""


def test_a_checkpoint_of_another_computation_is_refused(tmp_path):
    run(stop_after(1), checkpoint=tmp_path / "walk", fingerprint="a")
    with pytest.raises(ValueError, match="`checkpoint` .* belongs to another computation"):
        run(checkpoint=tmp_path / "walk", fingerprint="b", resume=True)


def test_progress_is_shown_in_a_terminal_only(monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    for stream, shown in ((Terminal(), True), (io.StringIO(), False)):
        monkeypatch.setattr(sys, "stderr", stream)
        loop(walk, (KEY, jnp.zeros(())), total=8, chunk=4, label="walk")
        assert ("walk" in stream.getvalue()) is shown


# ------------------------------------------------------------------ the verbs on it


def tune(**settings):
    world = settings.pop("world", WORLD)
    rule, goal = settings.pop("rule", Level(0.2)), settings.pop("goal", mean(surplus))
    limits = [mean(given) <= 0.5]
    settings = {"key": KEY, "steps": 100, "restarts": 2, "populations": 8, "progress": False} | settings
    return fh.tune(rule, goal, world, subject_to=limits, **settings)


def propagate(**settings):
    world, rule = settings.pop("world", WORLDS), settings.pop("rule", Level(0.2))
    settings = {"key": KEY, "populations": 4, "progress": False} | settings
    return fh.propagate(rule, world, [metrics.mean_utility, mean(surplus)], **settings)


def interrupt(monkeypatch, verb, calls):
    """The verb's compiled chunk raises KeyboardInterrupt at call number `calls + 1`."""
    module = importlib.import_module(f"fairhand.inference.{verb}")
    monkeypatch.setattr(module, "_chunk", stop_after(calls, module._chunk))


@pytest.fixture(scope="module")
def whole():
    return tune(), propagate()


def test_an_interrupted_tuning_returns_a_lawful_rule_and_resumes_bit_by_bit(tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        interrupt(patch, "_train", 2)
        part = tune(checkpoint=tmp_path / "tune")
    assert part.status == "Interrupted after 50 of 100: what is done is returned; resume to finish."
    assert part.losses.shape == (50, 2)
    assert float(part.exact.value) >= float(part.started.value)
    resumed = tune(checkpoint=tmp_path / "tune", resume=True)
    for a, b in zip(jax.tree.leaves(resumed), jax.tree.leaves(whole[0]), strict=True):
        np.testing.assert_array_equal(a, b)
    assert resumed.status == whole[0].status == ""


def test_a_tuning_interrupted_before_its_first_chunk_returns_the_best_of_its_starts(monkeypatch):
    interrupt(monkeypatch, "_train", 0)
    nothing = tune()
    assert nothing.status.startswith("Interrupted after 0 of 100")
    assert float(nothing.exact.value) >= float(nothing.started.value)
    assert nothing.losses.shape == (0, 2)


def test_an_interrupted_propagation_returns_its_draws_and_resumes_bit_by_bit(tmp_path, monkeypatch, whole):
    with monkeypatch.context() as patch:
        interrupt(patch, "propagate", 1)
        part = propagate(checkpoint=tmp_path / "outcome")
    assert part.status == ("rule: Interrupted after 8 of 24: what is done is returned; resume to finish.",)
    assert part.data.sizes["draw"] == 8
    resumed = propagate(checkpoint=tmp_path / "outcome", resume=True)
    assert resumed.data.identical(whole[1].data)
    assert resumed.status == ()


def test_a_propagation_interrupted_at_the_second_rule_keeps_what_both_have(monkeypatch):
    interrupt(monkeypatch, "propagate", 4)
    part = propagate(rule={"a": Level(0.2), "b": Level(0.4)})
    assert part.rules == ["a", "b"]
    assert part.data.sizes["draw"] == 8
    assert len(part.status) == 1


def test_a_propagation_interrupted_before_its_first_chunk_has_nothing_to_return(monkeypatch):
    interrupt(monkeypatch, "propagate", 0)
    with pytest.raises(KeyboardInterrupt, match="nothing to return"):
        propagate()


@pytest.mark.parametrize(
    "other",
    [
        {"key": jax.random.key(1)},
        {"rule": Level(0.25)},
        {"world": Independent(Uniform(0.0, 1.7), 2, 5)},
        {"goal": 2.0 * mean(surplus)},
        {"populations": 9},
        {"rate": 0.1},
        {"precision": "float32"},
    ],
    ids=str,
)
def test_tuning_refuses_the_checkpoint_of_another(tmp_path, monkeypatch, other):
    with monkeypatch.context() as patch:
        interrupt(patch, "_train", 1)
        tune(checkpoint=tmp_path / "tune")
    with pytest.raises(ValueError, match="another computation"):
        tune(checkpoint=tmp_path / "tune", resume=True, **other)


@pytest.mark.parametrize(
    "other",
    [{"key": jax.random.key(1)}, {"rule": Level(0.25)}, {"world": WORLDS.thin(12)}, {"populations": 5}],
    ids=str,
)
def test_propagation_refuses_the_checkpoint_of_another(tmp_path, monkeypatch, other):
    with monkeypatch.context() as patch:
        interrupt(patch, "propagate", 1)
        propagate(checkpoint=tmp_path / "outcome")
    with pytest.raises(ValueError, match="another computation"):
        propagate(checkpoint=tmp_path / "outcome", resume=True, **other)


def test_fingerprints_see_numbers_and_settings_not_addresses():
    assert digest(WORLD, KEY, mean(surplus), 3) == digest(WORLD, KEY, mean(surplus), 3)
    others = [
        digest(Independent(Uniform(0.0, 1.61), 2, 5), KEY, mean(surplus), 3),
        digest(WORLD, jax.random.key(1), mean(surplus), 3),
        digest(WORLD, KEY, mean(given), 3),
        digest(WORLD, KEY, 2.0 * mean(surplus), 3),
        digest(WORLD, KEY, mean(surplus), 4),
    ]
    assert len({digest(WORLD, KEY, mean(surplus), 3), *others}) == 6


@pytest.mark.slow
def test_a_checkpoint_resumes_in_another_process(tmp_path, monkeypatch, whole):
    """The fingerprint and the bits are the same there."""
    with monkeypatch.context() as patch:
        interrupt(patch, "_train", 2)
        tune(checkpoint=tmp_path / "tune")
    program = f"""
import importlib.util, sys
sys.path.insert(0, {str(os.path.dirname(os.path.dirname(__file__)))!r})
from fairhand.workflow._start import start_jax
start_jax(devices=4)
spec = importlib.util.spec_from_file_location("there", {__file__!r})
there = importlib.util.module_from_spec(spec)
spec.loader.exec_module(there)
print(repr(float(there.tune(checkpoint={str(tmp_path / "tune")!r}, resume=True).mechanism.level)))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert float(done.stdout) == float(whole[0].mechanism.level)
