"""What a streamed run reports until its first step."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from trainingjob.stages import Seldom, enter


@dataclass
class Lead(TrainerCallback):  # type: ignore[misc]
    """Tells of rows that are read before an attempt's first step. One that goes on reads all again that were trained on before it, and
    nothing else that it reports shows that it moves; steps tell of themselves."""

    awaited: bool = False
    rows: int = 0
    reading: Seldom = field(default_factory=lambda: Seldom("Training"))

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.awaited, self.rows, self.reading = True, 0, Seldom("Training")

    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.awaited:
            self.awaited = False
            # What was told of rows is over.
            enter("Training")

    def told(self, entries: Iterator[Any]) -> Iterator[Any]:
        """The same entries."""
        for entry in entries:
            if self.awaited:
                self.rows += 1
                self.reading.tell(f"{self.rows} rows read before the first step")
            yield entry
