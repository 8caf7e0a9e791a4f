"""How columns become numbers: what is chosen in `trainer.tabular.preprocessing`."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from trainingjob.fields import Fields, invalid, shown
from trainingjob.tabular.data.kinds import KINDS, Kind

Imputing = Literal["Mean", "Median", "MostFrequent", "Constant", "Drop", "Native"]
Encoding = Literal["OneHot", "Ordinal", "Native"]
Scaling = Literal["None", "Standard", "MinMax", "Robust"]


@dataclass(frozen=True)
class Preprocessing:
    """`encoding` and `scaling` are None where the family's own default is wanted. `fill_value` is for Constant."""

    imputing: Imputing = "Mean"
    fill_value: str | None = None
    encoding: Encoding | None = None
    scaling: Scaling | None = None
    kinds: Mapping[str, Kind] = field(default_factory=dict)


def parse_preprocessing(value: Any, family: str, *, native_missing: bool, native_categories: bool) -> Preprocessing:
    """Parses `trainer.tabular.preprocessing`; raises TrainingError with exit code 2.

    Args:
        family: Named in messages.
        native_missing: The family trains on rows with missing values.
        native_categories: The family trains on categories as they are.
    """
    where = "trainer.tabular.preprocessing"
    fields = Fields({} if value is None else value, where)
    imputing = fields.choice("imputing", get_args(Imputing), "Mean")
    fill = fields.optional_text("fillValue")
    encoding = fields.choice("encoding", ("Auto", *get_args(Encoding)), "Auto")
    scaling = fields.choice("scaling", ("Auto", *get_args(Scaling)), "Auto")
    kinds = _kinds(fields.get("columnTypes"))
    fields.close()
    if (fill is not None) != (imputing == "Constant"):
        raise invalid(f"{where}.fillValue: goes with imputing: Constant; write both or neither")
    if imputing == "Native" and not native_missing:
        raise invalid(
            f"{where}.imputing: {family} cannot train on missing values; write Mean or another way to fill them"
        )
    if encoding == "Native" and not native_categories:
        raise invalid(f"{where}.encoding: {family} cannot train on categories as they are; write OneHot or Ordinal")
    return Preprocessing(
        imputing=imputing,
        fill_value=fill,
        encoding=None if encoding == "Auto" else encoding,
        scaling=None if scaling == "Auto" else scaling,
        kinds=kinds,
    )


def _kinds(value: Any) -> dict[str, Kind]:
    where = "trainer.tabular.preprocessing.columnTypes"
    if value is None:
        return {}
    if not isinstance(value, list):
        raise invalid(f"{where}: must be a list of objects with name and type, not {shown(value)}")
    kinds: dict[str, Kind] = {}
    for index, entry in enumerate(value):
        fields = Fields(entry, f"{where}[{index}]")
        name = fields.text("name").strip()
        if name in kinds:
            raise invalid(f'{where}: names "{name}" twice; name each column once')
        kinds[name] = fields.choice("type", KINDS)
        fields.close()
    return kinds
