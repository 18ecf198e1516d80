"""A study: one TOML file that says what data, what model, what market, what rule. Wrong keys are refused by name."""

import difflib
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

PACKAGED = "package:"


class StudyError(ValueError):
    """A study that cannot be run; the message names file, key and cure."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Data(_Part):
    """Where the choices are: a long table, one row per situation and alternative."""

    file: str
    situation: str
    alternative: str
    choice: str
    attributes: tuple[str, ...]
    person: str | None = None
    available: str | None = None
    weight: str | None = None
    missing: Literal["error", "unavailable"] = "error"


class Model(_Part):
    """The conditional logit; see `fairhand.models.choice.ConditionalLogit`."""

    attributes: tuple[str, ...]
    interactions: dict[str, tuple[str, ...]] = {}
    constants: bool = True
    base: str | None = None
    numeraire: str
    unit: str | None = None
    prior_scale: float | None = 2.5
    population_shares: dict[str, float] | None = None


class Fit(_Part):
    """How it is fitted."""

    method: Literal["auto", "nuts", "map"] = "auto"
    draws: Annotated[int, Field(ge=1)] = 500
    warmup: Annotated[int, Field(ge=0)] = 300
    chains: Annotated[int, Field(ge=1)] = 4
    target_accept: Annotated[float, Field(gt=0, lt=1)] = 0.8


class Group(_Part):
    """One factor that splits people: terciles of a column, or cut points on it."""

    column: str
    names: tuple[str, ...]
    terciles: bool = False
    cuts: tuple[Annotated[float, Field(allow_inf_nan=False)], ...] | None = None

    @model_validator(mode="after")
    def _one_way(self) -> "Group":
        if self.terciles == (self.cuts is not None):
            raise ValueError("give either `terciles = true` or `cuts`, not both or neither")
        cuts = self.cuts or ()
        if any(not low < high for low, high in zip(cuts, cuts[1:], strict=False)):
            raise ValueError("`cuts` must rise from each to the next")
        parts = 3 if self.terciles else len(cuts) + 1
        if len(self.names) != parts:
            raise ValueError(f"`names` needs {parts} names, got {len(self.names)}")
        if len(set(self.names)) < parts:
            raise ValueError("`names` has a name twice")
        return self


class Market(_Part):
    """Who comes and what there is."""

    travellers: Annotated[int, Field(ge=2)]
    outside: str
    capacity: dict[str, Annotated[float, Field(ge=0, allow_inf_nan=False)]]
    groups: tuple[Group, ...] = ()


class Rule(_Part):
    """Token prices with head starts and hold-back."""

    eps: Annotated[float, Field(gt=0, le=1)] = 0.2
    oversubscription: Annotated[float, Field(gt=0, lt=1)] = 0.05


class Tune(_Part):
    """How the rule's numbers are sought."""

    steps: Annotated[int, Field(ge=1)] = 150
    restarts: Annotated[int, Field(ge=1)] = 2
    populations: Annotated[int, Field(ge=1)] = 16
    coins: Annotated[int, Field(ge=1)] = 4
    rate: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.08


class Propagate(_Part):
    """How uncertainty is carried through."""

    draws: Annotated[int, Field(ge=2)] = 100
    populations: Annotated[int, Field(ge=2)] = 8
    coins: Annotated[int, Field(ge=1)] = 4
    designs: Annotated[int, Field(ge=2)] = 12


class Study(_Part):
    """Everything a run needs."""

    title: str
    question: str = ""
    seed: int = 0
    precision: Literal["float64", "float32"] = "float64"
    data: Data
    model: Model
    fit: Fit = Fit()
    market: Market
    rule: Rule = Rule()
    tune: Tune = Tune()
    propagate: Propagate = Propagate()

    def data_path(self, beside: Path) -> Path:
        """The data file: packaged, absolute, or beside the study."""
        if self.data.file.startswith(PACKAGED):
            return Path(__file__).parent / "data" / self.data.file.removeprefix(PACKAGED)
        return beside / self.data.file


def packaged_study(name: str = "modechoice") -> Path:
    """A study that ships with the library."""
    return Path(__file__).parent / "studies" / f"{name}.toml"


def load_study(path: Path, settings: tuple[str, ...] = ()) -> tuple[Study, dict[str, Any]]:
    """Read a study and apply `key.path=value` overrides; returns it with its plain dictionary.

    Raises:
        StudyError: one sentence naming the file, the key and the cure.
    """
    try:
        raw = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise StudyError(f"{path}: no such study; `fairhand init` writes one to start from.") from None
    except (OSError, UnicodeDecodeError) as problem:
        raise StudyError(f"{path}: cannot be read ({problem}).") from None
    except tomllib.TOMLDecodeError as problem:
        raise StudyError(f"{path}: is not valid TOML: {problem}.") from None
    for setting in settings:
        _override(raw, setting)
    return parse_study(raw, str(path)), raw


def parse_study(raw: dict[str, Any], source: str) -> Study:
    """Validate a plain dictionary; `source` is named in errors."""
    try:
        return Study.model_validate(raw)
    except ValidationError as problem:
        raise StudyError(" ".join(_sentence(source, error) for error in problem.errors()[:5])) from None


def _override(raw: dict[str, Any], setting: str) -> None:
    key, found, value = setting.partition("=")
    if not found or not key:
        raise StudyError(f"--set {setting}: write key=value, e.g. --set market.capacity.air=50.")
    try:
        parsed = tomllib.loads(f"x = {value}")["x"]
    except tomllib.TOMLDecodeError:
        parsed = value
    *path, last = key.split(".")
    place = raw
    for name in path:
        place = place.setdefault(name, {})
        if not isinstance(place, dict):
            raise StudyError(f"--set {setting}: `{name}` is a value, not a table.")
    place[last] = parsed


def _sentence(source: str, error: Any) -> str:
    where = ".".join(str(x) for x in error["loc"])
    if error["type"] == "extra_forbidden":
        known = _fields_at(error["loc"][:-1])
        close = difflib.get_close_matches(str(error["loc"][-1]), known, 1)
        hint = f"did you mean `{close[0]}`?" if close else f"known are {', '.join(known)}."
        return f"{source}: unknown key `{where}`; {hint}"
    if error["type"] == "missing":
        return f"{source}: key `{where}` is missing; add it."
    given = error.get("input")
    shown = "" if isinstance(given, dict) else f", got {given!r}"
    return f"{source}: `{where}`: {error['msg'].removeprefix('Value error, ')}{shown}."


def _fields_at(path: tuple[Any, ...]) -> list[str]:
    """Keys known at a place in the study; a number in `path` is a place in a list."""
    part: Any = Study
    for name in path:
        part = get_args(part)[0] if isinstance(name, int) else part.model_fields[name].annotation
    return list(part.model_fields)
