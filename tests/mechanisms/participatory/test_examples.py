"""The example of every docstring in the room runs; whatever is public and can be called has one."""

import doctest
import importlib
import inspect
import pkgutil

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fairhand.mechanisms import participatory as room
from fairhand.mechanisms.base import AbstractMechanism

MODULES = [m.name for m in pkgutil.walk_packages(room.__path__, room.__name__ + ".") if not m.ispkg]
RULE = lambda x: inspect.isclass(x) and issubclass(x, AbstractMechanism)
PUBLIC = {x.__module__ for x in vars(room).values() if inspect.isfunction(x) or RULE(x)}


@pytest.mark.parametrize("name", MODULES, ids=lambda name: name.removeprefix(room.__name__ + "."))
def test_examples_run(name):
    found = doctest.testmod(importlib.import_module(name), extraglobs={"np": np, "jax": jax, "jnp": jnp})
    assert found.failed == 0
    assert found.attempted or name not in PUBLIC
