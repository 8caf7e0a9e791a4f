"""What scikit-learn's models share: they are fitted at once and stored by skops, which runs no code of the file's."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import skops.io as sio

from trainingjob.tabular.data.column import Floats
from trainingjob.tabular.data.inputs import Inputs, whole
from trainingjob.tabular.predicted import Predicted

Ask = Callable[[Any, Floats], Predicted]
Importance = Callable[[Any], tuple[str, Floats] | None]


def load_trusted(path: Path, trusted: list[str]) -> Any:
    """Loads a model, of scikit-learn's own types and of those alone that are named.

    Raises:
        ValueError: when the file is no such model, or holds other types.
    """
    try:
        return sio.load(path, trusted=trusted)
    except Exception as error:
        # skops raises what the broken part happens to raise: KeyError, BadZipFile, TypeError and its own.
        raise ValueError(f"{path.name} is no model that can be trusted: {str(error)[:300]}") from error


class Fitted:
    """A model that is asked."""

    def __init__(self, model: Any, ask: Ask, importance: Importance) -> None:
        self._model, self._ask, self._importance = model, ask, importance

    @property
    def own(self) -> Any:
        """The model as the library knows it."""
        return self._model

    def predict(self, x: Inputs) -> Predicted:
        x = whole(x)
        return self._ask(self._model, x)

    def importance(self) -> tuple[str, Floats] | None:
        return self._importance(self._model)


class Fitting(Fitted):
    """A model that is fitted in one step; it is None before."""

    def __init__(self, model: Any, ask: Ask, importance: Importance, fit: Callable[[], Any]) -> None:
        super().__init__(model, ask, importance)
        self._fit = fit

    @property
    def done(self) -> int:
        return 0 if self._model is None else 1

    def advance(self, to: int) -> None:
        self._model = self._fit()

    def save(self, path: Path) -> None:
        sio.dump(self._model, path)
