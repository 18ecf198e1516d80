"""Reading PrefLib's files of orders, every fault named by its line."""

import hashlib
import os
import re
from typing import Any

import numpy as np

from .._check import require
from ._orders import Groups, pack

KINDS = {"soc": "strict, complete", "soi": "strict, incomplete", "toc": "tied, complete", "toi": "tied, incomplete"}
_NAME = re.compile(r"ALTERNATIVE NAME (\d+)\s*:\s*(.*)")
_ENTRY = re.compile(r"\{([^{}]*)\}|(\d+)")


def read_preflib(path: Any, *, menu: str | None) -> dict[str, Any]:
    """Fields of `RankingData` from a file of orders; `RankingData.from_preflib` documents the arguments."""
    name = os.path.basename(os.fspath(path))
    kind = name.rsplit(".", 1)[-1].lower()
    require(kind in KINDS, f"{name} is no file of orders: PrefLib calls those .soc, .soi, .toc or .toi.")
    require(menu in (None, "all", "listed"), f'`menu` must be "all" or "listed", got {menu!r}.')
    try:
        with open(path, "rb") as file:
            content = file.read()
        lines = content.decode().splitlines()
    except OSError as error:
        raise ValueError(f"{name} cannot be opened ({error.strerror}): check the path {os.fspath(path)!r}.") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"{name} is not text in UTF-8: download it again from PrefLib.") from error
    items, numbers, facts = _header(name, lines)
    place = {number: i for i, number in enumerate(numbers)}
    lists, counts, where = [], [], []
    for at, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            count, groups = _order(f"{name}, line {at}", line, place)
            _check_kind(f"{name}, line {at}", kind, groups, len(items))
            lists.append(groups)
            counts.append(count)
            where.append(at)
    require(bool(lists), f"{name} holds no ranking: lines like `3: 1,2,4` are missing after the header.")
    voters = facts.get("NUMBER VOTERS")
    require(
        voters is None or voters == sum(counts),
        f"{name} says NUMBER VOTERS {voters}, but its lines count {sum(counts)}: it is cut short or was edited; download it "
        "again.",
    )
    fields = pack(lists)
    shown = np.ones((len(lists), len(items)), bool)
    listed = np.zeros_like(shown)
    row, at = np.nonzero(fields["order"] >= 0)
    listed[row, fields["order"][row, at]] = True
    if not listed.all():
        short = int(np.argmin(listed.all(1)))
        require(
            menu is not None,
            f"{name}, line {where[short]}: the list leaves out alternatives, and PrefLib does not say what people were shown: "
            'say `menu="all"` (and `unranked=`) if all alternatives, or `menu="listed"` if only those listed.',
        )
    shown = listed if menu == "listed" else shown
    single = np.flatnonzero(shown.sum(1) < 2)
    require(
        len(single) == 0,
        f'{name}, line {where[single[0]] if len(single) else 0}: with `menu="listed"` this list of one alternative says '
        'nothing: drop the line, or say `menu="all"` if more were shown.',
    )
    times = np.repeat(np.arange(len(lists)), counts)
    labels = np.array([f"line {where[r]}, {c + 1}" for r, n in enumerate(counts) for c in range(n)])
    return {
        **{field: array[times] for field, array in fields.items()},
        "menu": shown[times],
        "items": items,
        "labels": labels,
        "source": name,
        "sha256": hashlib.sha256(content).hexdigest(),
    }


def _header(name: str, lines: list[str]) -> tuple[tuple[str, ...], list[int], dict[str, int]]:
    first = next((line for line in lines if line.strip()), "")
    require(bool(first), f"{name} is empty: download it again from PrefLib.")
    require(
        first.startswith("#"),
        f"{name}, line 1: the header is missing, as in PrefLib's format before 2022: download the current version of the file.",
    )
    found: dict[int, str] = {}
    facts: dict[str, int] = {}
    for at, line in enumerate(lines, 1):
        if not line.startswith("#"):
            continue
        text = line.lstrip("#").strip()
        if match := _NAME.match(text):
            number = int(match[1])
            require(number not in found, f"{name}, line {at}: alternative {number} is named twice: keep one line.")
            found[number] = match[2].strip() or str(number)
        elif text.startswith("NUMBER ALTERNATIVES:") or text.startswith("NUMBER VOTERS:"):
            key, value = (part.strip() for part in text.split(":", 1))
            require(value.isdigit(), f"{name}, line {at}: {key} is {value!r}, which is no whole number: correct it.")
            facts[key] = int(value)
    require(bool(found), f"{name}: no line `# ALTERNATIVE NAME 1: ...` in the header: download the file again.")
    want = facts.get("NUMBER ALTERNATIVES", len(found))
    require(
        want == len(found),
        f"{name} says NUMBER ALTERNATIVES {want}, but names {len(found)}: complete the header.",
    )
    numbers = sorted(found)
    names = [found[n] for n in numbers]
    twice = {n for n in names if names.count(n) > 1} if len(set(names)) < len(names) else set()
    unique = tuple(f"{n} ({i})" if n in twice else n for n, i in zip(names, numbers, strict=True))
    return unique, numbers, facts


def _order(at: str, line: str, place: dict[int, int]) -> tuple[int, Groups]:
    count, colon, text = line.partition(":")
    require(
        bool(colon) and count.strip().isdigit() and int(count) > 0,
        f"{at}: {line.strip()!r} is no ranking: write how many gave it, a colon, and the order, as in `3: 1,2,{{4,5}}`.",
    )
    groups: Groups = []
    rest = text.replace(" ", "").replace("\t", "")
    while rest:
        match = _ENTRY.match(rest)
        after = rest[match.end() :] if match else ""
        require(
            match is not None and (not after or (after.startswith(",") and len(after) > 1)),
            f"{at}: the order breaks at {rest[:20]!r}: write numbers with commas between, ties in braces.",
        )
        assert match is not None
        inside = [match[2]] if match[1] is None else match[1].split(",")
        require(all(x.isdigit() for x in inside), f"{at}: the tie {match[0]!r} must hold numbers with commas between.")
        unknown = [x for x in inside if int(x) not in place]
        require(
            not unknown, f"{at}: alternative {unknown[:1]} has no ALTERNATIVE NAME in the header: add it or correct it."
        )
        groups.append([place[int(x)] for x in inside])
        rest = after[1:]
    require(bool(groups), f"{at}: the ranking is empty: list at least one alternative or drop the line.")
    flat = [i for group in groups for i in group]
    twice = [i for k, i in enumerate(flat) if i in flat[:k]]
    if twice:
        number = next(n for n, i in place.items() if i == twice[0])
        raise ValueError(f"{at}: alternative {number} is listed twice: keep one place.")
    return int(count), groups


def _check_kind(at: str, kind: str, groups: Groups, items: int) -> None:
    tied, listed = any(len(g) > 1 for g in groups), sum(map(len, groups))
    fits = (kind.startswith("t") or not tied) and (kind.endswith("i") or listed == items)
    require(
        fits,
        f"{at}: a .{kind} file holds orders that are {KINDS[kind]}; this one lists {listed} of {items} alternatives"
        f"{', with ties' if tied else ''}: correct the line or the file's ending.",
    )
