"""Tables, from data frames, mappings, CSV or Parquet files, with what is needed to name a row of them in a message."""

import hashlib
import os
import zlib
from typing import Any, NamedTuple

import numpy as np

from ._check import require

PARQUET = (".parquet", ".pq")


class Table(NamedTuple):
    """A table, with what is needed to name a row of it in a message."""

    frame: Any
    source: str
    label: np.ndarray
    word: str
    sha256: str

    def at(self, row: int | np.integer) -> str:
        """Name of a row, as the reader of the message finds it."""
        return f"{self.source}, {self.word} {self.label[row]}"


def load(source: Any, rows: str) -> Table:
    """A table with one row for each of `rows`.

    Args:
        source: a data frame, a mapping of columns, or the path of a CSV file (also compressed, such as `.csv.gz`) or of a
            Parquet file (`.parquet`, `.pq`). Rows of CSV are named by their line, of Parquet by their number from 1.
        rows: what a row stands for, for messages.
    """
    import pandas as pd

    if not isinstance(source, str | os.PathLike):
        frame = source if isinstance(source, pd.DataFrame) else pd.DataFrame(source)
        return Table(frame, "data frame", np.asarray(frame.index, object), "row with index", "")
    name = os.path.basename(os.fspath(source))
    parquet = name.lower().endswith(PARQUET)
    try:
        with open(source, "rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        frame = _parquet(source, name) if parquet else _csv(source, name, rows)
    except (EOFError, zlib.error) as error:
        raise ValueError(
            f"{name} is cut short or damaged ({error}): get it again, or unpack it and name that."
        ) from error
    except OSError as error:
        why = error.strerror or error
        raise ValueError(f"{name} cannot be opened ({why}): check the path {os.fspath(source)!r}.") from error
    if parquet:
        return Table(frame, name, np.arange(1, len(frame) + 1), "row", digest)
    blank = frame.isna().all(axis=1).to_numpy()
    return Table(frame[~blank], name, np.flatnonzero(~blank) + 2, "line", digest)


def _csv(source: Any, name: str, rows: str) -> Any:
    import pandas as pd

    try:
        frame = pd.read_csv(source, skip_blank_lines=False)
        header = pd.read_csv(source, skip_blank_lines=False, header=None, nrows=1, dtype=str).iloc[0]
    except pd.errors.EmptyDataError as error:
        raise ValueError(f"{name} is empty: give a header line and one row for each {rows}.") from error
    except (pd.errors.ParserError, UnicodeDecodeError) as error:
        cure = "save it as UTF-8, with commas and as many fields in each row as in the header"
        raise ValueError(f"{name} cannot be read as a CSV table ({str(error).strip()}): {cure}.") from error
    require(
        isinstance(frame.index, pd.RangeIndex),
        f"{name}: rows have more fields than the header names: give every column a name in the first line.",
    )
    given = header[header.notna()]
    if given.duplicated().any():  # pandas would have numbered them, and the second be read as another column
        frame.columns = [new if old != old else old for old, new in zip(header, frame.columns, strict=True)]
    return frame


def _parquet(source: Any, name: str) -> Any:
    import pandas as pd

    try:
        import pyarrow
    except ImportError as error:
        raise ValueError(
            f"{name} is a Parquet file, and no library to read it is installed: `pip install fairhand[parquet]`, or save "
            "it as CSV."
        ) from error
    try:
        frame = pd.read_parquet(source, engine="pyarrow")
    except pyarrow.ArrowException as error:
        raise ValueError(
            f"{name} cannot be read as Parquet ({str(error).strip()}): save it again, or as CSV."
        ) from error
    if any(level is not None for level in frame.index.names):  # an index of pandas is a column like any other
        frame = frame.reset_index()
    frame = frame.reset_index(drop=True)
    for column in frame.columns[[kind.kind == "O" for kind in frame.dtypes]]:
        nested = frame[column].map(lambda x: isinstance(x, np.ndarray | list | dict | tuple)).to_numpy(bool)
        require(
            not nested.any(),
            f"{name}, row {nested.argmax() + 1}: column `{column}` holds lists or structures: store one entry a cell.",
        )
    return frame


def check_columns(table: Table, named: Any, rows: str) -> None:
    """Refuse a table without rows, without one of the columns `named`, or with two of that name."""
    frame = table.frame
    absent = [c for c in dict.fromkeys(named) if c not in frame.columns]
    require(
        not absent,
        f"{table.source} has no column {', '.join(f'`{c}`' for c in absent)}: name one of "
        f"{', '.join(f'`{c}`' for c in frame.columns)}.",
    )
    twice = [c for c in named if (frame.columns == c).sum() > 1]
    require(not twice, f"{table.source} has two columns named {twice[:1]}: rename one of them.")
    require(len(frame) > 0, f"{table.source} is empty: give one row for each {rows}.")


def floats(column: Any) -> np.ndarray:
    """Numbers, NaN where there is none; dates are none."""
    import pandas as pd

    if column.dtype.kind in "mM":
        return np.full(len(column), np.nan)
    number: Any = pd.to_numeric(column, errors="coerce")
    return number.to_numpy(float, na_value=np.nan)


def names(column: Any) -> np.ndarray:
    """Entries as text; codes that pandas made floating are written as the integers they are."""
    if column.dtype.kind == "f" and (column % 1 == 0).all():
        column = column.astype("int64")
    return column.astype(str).to_numpy(object)


def shown(value: Any) -> str:
    """An entry as a message shows it."""
    return "nothing" if value is None or value != value else repr(str(value))
