"""What a column can hold; named in a configuration, too, which is read where no library is installed."""

from typing import Literal

Kind = Literal["Numeric", "Categorical", "Boolean", "Date"]
KINDS: tuple[Kind, ...] = ("Numeric", "Categorical", "Boolean", "Date")
