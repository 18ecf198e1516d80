"""How our programs start JAX. Importing the library never does: only the command line and the tests call this."""

import os
from pathlib import Path

_DEVICES = "--xla_force_host_platform_device_count"
_EFFORT = "--xla_backend_optimization_level"  # 1 compiles our programs in half the time, and they run as fast


def start_jax(devices: int | None = None, cache: bool = True) -> None:
    """Split the host into devices and keep compiled programs between runs.

    Call it first: flags have no effect once JAX has run something. What the user has set is kept: a
    count already in `XLA_FLAGS` unless `devices` is given, and a cache folder JAX already has.

    Args:
        devices: how many devices the host's CPU shows to JAX; by default its cores, at most 4.
        cache: keep compiled programs in `FAIRHAND_CACHE_DIR`, by default `~/.cache/fairhand/jax`. The environment
            variable `FAIRHAND_CACHE=0` switches this off.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if devices is not None or _DEVICES not in flags:
        count = min(os.cpu_count() or 1, 4) if devices is None else devices
        os.environ["XLA_FLAGS"] = f"{flags} {_DEVICES}={count}".strip()  # XLA obeys the last

    flags = os.environ.get("XLA_FLAGS", "")
    if _EFFORT not in flags:
        os.environ["XLA_FLAGS"] = f"{flags} {_EFFORT}=1".strip()

    if not cache or os.environ.get("FAIRHAND_CACHE") == "0":
        return

    import jax

    if jax.config.jax_compilation_cache_dir is None:  # pyright: ignore[reportAttributeAccessIssue]  declared at run time
        folder = _cache_folder()
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError:  # a read-only home: compile anew each time
            return
        jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def _cache_folder() -> Path:
    if chosen := os.environ.get("FAIRHAND_CACHE_DIR"):
        return Path(chosen).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser() / "fairhand" / "jax"
