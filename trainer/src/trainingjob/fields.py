"""Reading of JSON objects so that every wrong member gets a sentence: nothing unknown is ignored, nothing is guessed."""

import difflib
import math
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from trainingjob.exitcodes import ExitCode, TrainingError

Text = TypeVar("Text", bound=str)


def invalid(message: str) -> TrainingError:
    """A configuration that cannot be used, exit code 2."""
    return TrainingError(ExitCode.CONFIGURATION, message)


def nearest(name: str, known: Iterable[str]) -> str:
    """`Did you mean "x"?` for a name that is close to a known one, else an empty text."""
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f' Did you mean "{close[0]}"?' if close else ""


class Fields:
    """The members of one JSON object; `close` refuses those that nobody asked for."""

    def __init__(self, value: Any, where: str) -> None:
        if not isinstance(value, dict):
            raise invalid(f"{where}: must be an object, not {shown(value)}")
        self._value: dict[str, Any] = value
        self._where = where
        self._asked: set[str] = set()

    def path(self, name: str) -> str:
        return f"{self._where}.{name}" if self._where else name

    def get(self, name: str) -> Any:
        """The raw member, or None when it is absent."""
        self._asked.add(name)
        return self._value.get(name)

    def require(self, name: str) -> Any:
        value = self.get(name)
        if value is None:
            raise invalid(f"{self.path(name)}: is missing")
        return value

    def text(self, name: str, default: str | None = None) -> str:
        value = self.get(name)
        if value is None and default is not None:
            return default
        if not isinstance(value, str) or value == "":
            raise invalid(f"{self.path(name)}: must be a text that is not empty, not {shown(value)}")
        return value

    def optional_text(self, name: str) -> str | None:
        return None if self.get(name) is None else self.text(name)

    def choice(self, name: str, known: tuple[Text, ...], default: Text | None = None) -> Text:
        """One of the texts that are known."""
        value = self.text(name, default)
        for text in known:
            if text == value:
                return text
        raise invalid(
            f"{self.path(name)}: must be one of {', '.join(known)}, not {value!r}.{nearest(value, known)}".rstrip(".")
        )

    def texts(self, name: str) -> list[str]:
        """A list of texts; an absent one is empty."""
        value = self.get(name)
        if value is None:
            return []
        if not isinstance(value, list) or not all(isinstance(entry, str) for entry in value):
            raise invalid(
                f'{self.path(name)}: must be a list of texts, such as ["python", "train.py"], not {shown(value)}'
            )
        return list(value)

    def integer(self, name: str, default: int | None = None, *, least: int = 0, most: int = 2**53 - 1) -> int:
        value = self.get(name)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise invalid(f"{self.path(name)}: must be a whole number of at least {least}, not {shown(value)}")
        if value > most:
            raise invalid(f"{self.path(name)}: must be at most {most}, not {value}")
        return value

    def decimal(self, name: str, default: str, fits: Callable[[float], bool], wanted: str) -> float:
        """A number that travels as a text, as all decimals in a Kubernetes object do; a JSON number is taken as well."""
        value = self.get(name)
        try:
            number = float(default if value is None else value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number) or not fits(number):
            raise invalid(f"{self.path(name)}: must be {wanted}, not {shown(value)}")
        return number

    def boolean(self, name: str, default: bool) -> bool:
        value = self.get(name)
        if value is None:
            return default
        if not isinstance(value, bool):
            raise invalid(f"{self.path(name)}: must be true or false, not {shown(value)}")
        return value

    def left(self) -> list[str]:
        """Members that nobody has asked for so far."""
        return [name for name in self._value if name not in self._asked]

    def close(self) -> None:
        """Refuses members that were not asked for."""
        for name in self.left():
            hint = nearest(name, self._asked)
            known = ", ".join(sorted(self._asked))
            raise invalid(f"{self.path(name)}: is not known.{hint} Known here: {known}")


def shown(value: Any) -> str:
    """A value as it is named in a message."""
    return "nothing" if value is None else repr(value)[:80]
