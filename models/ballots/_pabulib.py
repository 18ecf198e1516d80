"""Reading Pabulib files: three tables in one, every fault named by file, line and column."""

import csv
import hashlib
import io
import math
import os
from typing import Any, NamedTuple

import numpy as np

from .._check import require
from .._table import shown

TYPES = ("approval", "ordinal", "cumulative", "scoring")
POINTS = ("cumulative", "scoring")
SECTIONS = ("META", "PROJECTS", "VOTES")
NEEDED = {"META": ("key", "value"), "PROJECTS": ("project_id", "cost"), "VOTES": ("voter_id", "vote")}


class Row(NamedTuple):
    """One row of a section: where it stands, and its entries by column."""

    name: str
    line: int
    cell: dict[str, str]

    def at(self, column: str) -> str:
        """Name of an entry, as the reader of the message finds it."""
        return f"{self.name}, line {self.line}, column `{column}`"

    def number(self, column: str) -> float:
        """The entry as a finite number."""
        text = self.cell[column]
        try:
            found = float(text)
        except ValueError:
            found = math.nan
        cure = "write a finite number, such as 25000 or 25000.5"
        require(math.isfinite(found), f"{self.at(column)}: {shown(text or None)} is not a number: {cure}.")
        return found


def read_pabulib(path: str | os.PathLike) -> dict[str, Any]:
    """Fields of `Ballots` from a `.pb` file; `Ballots.from_pabulib` documents what comes back."""
    name, text, digest = _text(path)
    sections = _sections(name, text)
    meta_rows = _unique(sections["META"], "key", "stands here")
    for key in ("vote_type", "budget"):
        require(key in meta_rows, f"{name}: section META has no `{key}`: add the line `{key};...`.")
    meta = {key: row.cell["value"] for key, row in meta_rows.items()}
    kind = meta["vote_type"].strip().lower()
    at = meta_rows["vote_type"].at("value")
    require(kind in TYPES, f"{at}: vote_type {kind!r} is unknown: it is one of {', '.join(TYPES)}.")
    budget = meta_rows["budget"].number("value")
    require(budget >= 0, f"{meta_rows['budget'].at('value')}: the budget is negative: {budget:g}; correct it.")

    projects = _unique(sections["PROJECTS"], "project_id", "stands here")
    cost = np.array([row.number("cost") for row in projects.values()])
    for row, price in zip(projects.values(), cost, strict=True):
        require(price >= 0, f"{row.at('cost')}: the cost is negative: {price:g}; correct it.")
    voters = _unique(sections["VOTES"], "voter_id", "voted")
    for key, found in (("num_projects", len(projects)), ("num_votes", len(voters))):
        if key in meta:
            said, where = meta_rows[key].number("value"), meta_rows[key].at("value")
            require(said == found, f"{where}: `{key}` is {said:g}, but there are {found}: the file may be cut short.")
    return {
        "vote_type": kind,
        "projects": tuple(projects),
        "cost": cost,
        "budget": budget,
        "voters": tuple(voters),
        "votes": _votes(voters, list(projects), kind, meta_rows),
        "voter_facts": _facts(voters, ("voter_id", "vote", "points")),
        "project_facts": _facts(projects, ("project_id", "cost")),
        "meta": meta,
        "source": name,
        "sha256": digest,
    }


def _text(path: str | os.PathLike) -> tuple[str, str, str]:
    name = os.path.basename(os.fspath(path))
    try:
        with open(path, "rb") as file:
            raw = file.read()
        return name, raw.decode("utf-8-sig"), hashlib.sha256(raw).hexdigest()
    except OSError as error:
        raise ValueError(f"{name} cannot be opened ({error.strerror}): check the path {os.fspath(path)!r}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not UTF-8 ({error.reason} at byte {error.start}): save it as UTF-8.") from error


def _sections(name: str, text: str) -> dict[str, list[Row]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=";")
    found: dict[str, list[Row]] = {}
    section, header, line = "", [], 1
    while True:
        start = line
        try:
            entries = next(reader, None)
        except csv.Error as error:
            raise ValueError(f"{name}, line {start}: {error}: look for a quote that is not closed.") from error
        line = reader.line_num + 1
        if entries is None:
            break
        raw, entries = entries, [x.strip() for x in entries]
        if not any(entries):
            continue
        if not any(entries[1:]) and entries[0].upper() in SECTIONS:
            section, header = entries[0].upper(), []
            require(section not in found, f"{name}, line {start}: section {section} stands a second time: keep one.")
            found[section] = []
        elif not section:
            raise ValueError(
                f"{name}, line {start}: {shown(entries[0])} stands before section META: is this a .pb file?"
            )
        elif not header:
            header = [x.lower() for x in entries]
            absent = [c for c in NEEDED[section] if c not in header]
            require(
                not absent, f"{name}, line {start}: section {section} has no column `{' '.join(absent[:1])}`: add it."
            )
            twice = [c for i, c in enumerate(header) if c and c in header[:i]]
            require(not twice, f"{name}, line {start}: section {section} has two columns {twice[:1]}: rename one.")
        else:
            if section == "META":  # a comment may hold a semicolon
                entries = [entries[0], ";".join(raw[1:]).strip("; ")]
            more = len(entries) > len(header) and any(entries[len(header) :])
            require(
                not more,
                f"{name}, line {start}: {len(entries)} entries under {len(header)} columns: put entries that hold a "
                "semicolon in quotes.",
            )
            cells = dict(zip(header, entries + [""] * (len(header) - len(entries)), strict=False))
            found[section].append(Row(name, start, cells))
    for section in SECTIONS:
        require(section in found, f"{name} has no section {section}: a .pb file has META, PROJECTS and VOTES.")
        require(found[section], f"{name}: section {section} is empty: the file may be cut short.")
    return found


def _unique(rows: list[Row], column: str, verb: str) -> dict[str, Row]:
    """Rows by their name, refused where it is empty or stands twice."""
    found: dict[str, Row] = {}
    for row in rows:
        key = row.cell[column]
        require(key, f"{row.at(column)} is empty: fill it in or drop the line.")
        first = found.get(key)
        require(
            first is None,
            f"{row.at(column)}: {key!r} {verb} a second time, after line {first and first.line}: keep one.",
        )
        found[key] = row
    return found


def _facts(rows: dict[str, Row], leave: tuple[str, ...]) -> dict[str, np.ndarray]:
    columns = [c for c in next(iter(rows.values())).cell if c and c not in leave]
    return {c: np.array([row.cell[c] for row in rows.values()], str) for c in columns}


def _votes(voters: dict[str, Row], projects: list[str], kind: str, meta: dict[str, Row]) -> np.ndarray:
    place = {project: j for j, project in enumerate(projects)}
    stated = (f"{end}_{what}" for end in ("min", "max") for what in ("length", "points", "sum_points"))
    limit = {key: meta[key].number("value") for key in stated if key in meta and meta[key].cell["value"]}
    rest = math.nan
    if kind in ("approval", "cumulative"):
        rest = 0.0
    elif kind == "scoring" and "default_score" in meta:
        rest = meta["default_score"].number("value")
    votes = np.full((len(voters), len(projects)), rest)
    for i, row in enumerate(voters.values()):
        named = _list(row, "vote")
        unknown = [p for p in named if p not in place]
        require(not unknown, f"{row.at('vote')}: project {unknown[:1]} is not in section PROJECTS: add or correct it.")
        twice = [p for k, p in enumerate(named) if p in named[:k]]
        require(not twice, f"{row.at('vote')}: project {twice[:1]} is named twice: keep one.")
        _within(row, "vote", "projects", float(len(named)), limit, "length")
        given = np.ones(len(named)) if kind == "approval" else np.arange(1.0, len(named) + 1)
        if kind in POINTS:
            given = np.array(_points(row, len(named)))
            for x in given.tolist():
                _within(row, "points", "points to a project", x, limit, "points")
            _within(row, "points", "points in all", float(given.sum()), limit, "sum_points")
        votes[i, [place[p] for p in named]] = given
    return votes


def _list(row: Row, column: str) -> list[str]:
    text = row.cell[column]
    return [x.strip() for x in text.split(",")] if text else []


def _points(row: Row, size: int) -> list[float]:
    require("points" in row.cell, f"{row.name}: section VOTES has no column `points`: this type of vote needs it.")
    given = [row._replace(cell={"points": x}).number("points") for x in _list(row, "points")]
    require(
        len(given) == size,
        f"{row.at('points')}: {len(given)} numbers for {size} projects: give one for each project in `vote`.",
    )
    return given


def _within(row: Row, column: str, what: str, x: float, limit: dict[str, float], key: str) -> None:
    low, high = limit.get(f"min_{key}", -math.inf), limit.get(f"max_{key}", math.inf)
    slack = 1e-9 * max(1.0, abs(x))
    require(
        x <= high + slack, f"{row.at(column)}: {x:g} {what}, but `max_{key}` in META is {high:g}: correct one of them."
    )
    require(
        x >= low - slack, f"{row.at(column)}: {x:g} {what}, but `min_{key}` in META is {low:g}: correct one of them."
    )
