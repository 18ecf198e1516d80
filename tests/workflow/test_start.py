"""`start_jax` decides devices and cache; importing JAX or the library does not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from fairhand.workflow._start import _cache_folder

REPORT = """
import json, sys
from fairhand.workflow._start import start_jax
{before}
start_jax({arguments})
import jax
print(json.dumps([jax.device_count(), jax.config.jax_compilation_cache_dir]))
"""


def started(arguments: str = "", before: str = "", **environment: str) -> list:
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("XLA_", "JAX_", "FAIRHAND_"))}
    done = subprocess.run(
        [sys.executable, "-c", REPORT.format(before=before, arguments=arguments)],
        capture_output=True,
        text=True,
        check=True,
        env=clean | {"JAX_PLATFORMS": "cpu"} | environment,
    )
    return json.loads(done.stdout)


def test_the_tests_have_four_devices():
    assert len(jax.devices("cpu")) == 4


@pytest.mark.parametrize(
    ("arguments", "flags", "count"),
    [
        ("3", "--xla_force_host_platform_device_count=2", 3),
        ("", "--xla_force_host_platform_device_count=2", 2),
        ("", "", min(os.cpu_count() or 1, 4)),
    ],
)
def test_devices_follow_the_argument_then_the_user_then_the_cores(arguments, flags, count, tmp_path):
    assert started(arguments, XLA_FLAGS=flags, FAIRHAND_CACHE_DIR=str(tmp_path)) == [count, str(tmp_path)]


@pytest.mark.parametrize(("before", "count"), [("import jax", 3), ("import jax; jax.devices()", 1)])
def test_devices_stay_once_jax_has_run(before, count):
    assert started("3, cache=False", before=before) == [count, None]


def test_cache_of_jax_is_kept(tmp_path):
    ours, jaxs = str(tmp_path / "ours"), str(tmp_path / "jax")
    assert started("3", JAX_COMPILATION_CACHE_DIR=jaxs, FAIRHAND_CACHE_DIR=ours) == [3, jaxs]


def test_cache_can_be_switched_off(tmp_path):
    assert started("3", FAIRHAND_CACHE="0", FAIRHAND_CACHE_DIR=str(tmp_path)) == [3, None]


def test_cache_lies_in_the_users_cache(tmp_path, monkeypatch):
    monkeypatch.delenv("FAIRHAND_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert _cache_folder() == tmp_path / "fairhand" / "jax"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert _cache_folder() == Path.home() / ".cache" / "fairhand" / "jax"
