"""The front door: the command line, studies (TOML in, report out) and packaged data."""

from pathlib import Path


def packaged(name: str) -> Path:
    """Path of a data file that ships with the library, such as `modechoice.csv`; see `workflow/data/README.md`.

    Raises:
        ValueError: there is none of that name.
    """
    folder = Path(__file__).parent / "data"
    if not (folder / name).is_file():
        there = ", ".join(sorted(p.name for p in folder.iterdir() if p.suffix == ".csv"))
        raise ValueError(f"`name` {name!r} is not packaged; there are {there}.")
    return folder / name
