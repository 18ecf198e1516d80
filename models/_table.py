"""Long tables, from data frames, mappings or CSV files, with what is needed to name a row of them in a message."""

import hashlib
import os
from typing import Any, NamedTuple

import numpy as np


class Table(NamedTuple):
    """A long table, with what is needed to name a row of it in a message."""

    frame: Any
    source: str
    label: np.ndarray
    word: str
    sha256: str

    def at(self, row: int | np.integer) -> str:
        """Name of a row, as the reader of the message finds it."""
        return f"{self.source}, {self.word} {self.label[row]}"


def load(source: Any, rows: str) -> Table:
    """A table from a data frame, a mapping of columns, or the path of a CSV file; it has one row for each of `rows`."""
    import pandas as pd

    if not isinstance(source, str | os.PathLike):
        frame = source if isinstance(source, pd.DataFrame) else pd.DataFrame(source)
        return Table(frame, "data frame", np.asarray(frame.index, object), "row with index", "")
    name = os.path.basename(os.fspath(source))
    try:
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        frame = pd.read_csv(source, skip_blank_lines=False)
    except OSError as error:
        raise ValueError(
            f"{name} cannot be opened ({error.strerror}): check the path {os.fspath(source)!r}."
        ) from error
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{name} is empty: give a header line and one row for each {rows}.") from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        cure = "save it as UTF-8, with commas and as many fields in each row as in the header"
        raise ValueError(f"{name} cannot be read as a CSV table ({str(error).strip()}): {cure}.") from error
    blank = frame.isna().all(axis=1).to_numpy()
    return Table(frame[~blank], name, np.flatnonzero(~blank) + 2, "line", digest)


def floats(column: Any) -> np.ndarray:
    """Numbers, NaN where there is none."""
    import pandas as pd

    number: Any = pd.to_numeric(column, errors="coerce")
    return number.to_numpy(float, na_value=np.nan)


def shown(value: Any) -> str:
    """An entry as a message shows it."""
    return "nothing" if value is None or value != value else repr(str(value))
