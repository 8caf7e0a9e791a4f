"""What our callbacks and the upload in the background add to a step, beside TRL alone that evaluates and saves as often.

.venv/bin/python test/bench/steptime.py [--pairs 5] [--steps 60]

Runs alternate, each in a process of its own; the median step of each run counts, and of those the medians are compared. Exit code
1 when ours are slower by more than 2 % and by more than the runs of one kind differ among themselves. The means are printed beside
them: an upload slows a few steps, which a median does not see.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

# As often as in the demonstration: a checkpoint each few seconds would measure the disk.
_EVERY = 20
PARAMETERS = {
    "learningRate": "1e-3",
    "perDeviceTrainBatchSize": 8,
    "perDeviceEvalBatchSize": 8,
    "maxLength": 256,
    "loggingSteps": 1,
}


def plain(folder: Path, steps: int, every: int, callback: Any) -> None:
    """TRL as its own documentation uses it, on the same rows and with the same parameters."""
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    rows = [json.loads(line) for line in (folder / "rows.jsonl").read_text().splitlines()]
    held_out = len(rows) // 10
    arguments = SFTConfig(
        output_dir=str(folder / "plain"), max_steps=steps, learning_rate=1e-3, per_device_train_batch_size=8,
        per_device_eval_batch_size=8, max_length=256, logging_steps=1, eval_strategy="steps", eval_steps=every,
        save_strategy="steps", save_steps=every, save_total_limit=2, report_to="none", disable_tqdm=True, use_cpu=True,
        bf16=False, gradient_checkpointing=False, optim="adamw_torch",
    )  # fmt: skip
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(folder / "model"),
        args=arguments,
        train_dataset=Dataset.from_list(rows[held_out:]),
        eval_dataset=Dataset.from_list(rows[:held_out]),
        processing_class=AutoTokenizer.from_pretrained(folder / "model"),
    )
    trainer.add_callback(callback)
    trainer.train()


def ours(folder: Path, steps: int, every: int, callback: Any) -> None:
    """The job's trainer as it runs in a pod, with its uploads."""
    from trainingjob import __version__
    from trainingjob.config import parse_config
    from trainingjob.finetune import train

    make = train.make_trainer

    def timed(*given: Any, **named: Any) -> Any:
        trainer = make(*given, **named)
        trainer.add_callback(callback)
        return trainer

    train.make_trainer = timed
    os.environ["TRAININGJOB_EVENTS"] = str(folder / "events.jsonl")
    train.train(
        parse_config(
            {
                "trainer": {
                    "fineTune": {
                        "method": "SFT",
                        "model": {"source": (folder / "model").as_uri()},
                        "dataset": {"source": (folder / "rows.jsonl").as_uri(), "evalSplit": "0.1"},
                        "parameters": {**PARAMETERS, "maxSteps": steps},
                    }
                },
                "evaluation": {"everySteps": every},
                "checkpoints": {"keepLast": 2},
                "storage": {"checkpoints": (folder / "stored").as_uri(), "output": (folder / "output").as_uri()},
                "scoring": {"strategy": "MultiMetric"},
            }
        ),
        __version__,
    )


def one(kind: str, folder: Path, steps: int) -> None:
    """One run in this process; prints the seconds of each step as JSON, with what is logged and reported after it."""
    from transformers import TrainerCallback

    class Timed(TrainerCallback):  # type: ignore[misc]
        def __init__(self) -> None:
            self.seconds: list[float] = []
            self._last: float | None = None

        def on_step_end(self, args: Any, state: Any, *_: Any, **__: Any) -> None:
            now = time.perf_counter()
            # Evaluations and saves are of both kinds and no part of a step; the first ones warm up.
            if self._last is not None and state.global_step > 3 and (state.global_step - 1) % _EVERY != 0:
                self.seconds.append(now - self._last)
            self._last = now

    timed = Timed()
    (plain if kind == "plain" else ours)(folder, steps, _EVERY, timed)
    print("STEPS " + json.dumps(timed.seconds))


def main() -> int:
    """Runs the pairs and prints their figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--one", choices=["plain", "ours"])
    parser.add_argument("--folder", type=Path)
    options = parser.parse_args()
    os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")
    if options.one:
        one(options.one, options.folder, options.steps)
        return 0
    from trainingjob.finetune import demo

    medians: dict[str, list[float]] = {"plain": [], "ours": []}
    means: dict[str, list[float]] = {"plain": [], "ours": []}
    for pair in range(options.pairs):
        for kind in ("plain", "ours") if pair % 2 == 0 else ("ours", "plain"):
            with tempfile.TemporaryDirectory(prefix="steptime-") as name:
                folder = Path(name)
                os.environ["HF_HOME"] = str(folder / "cache")
                demo.write_model(folder / "model", hidden=448, layers=5)
                demo.write_rows(folder / "rows.jsonl", demo.texts(300))
                given = [sys.executable, __file__, "--one", kind, "--folder", name, "--steps", str(options.steps)]
                done = subprocess.run(given, capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    print(done.stdout[-2000:], done.stderr[-4000:], file=sys.stderr)
                    return 2
                line = next(line for line in done.stdout.splitlines() if line.startswith("STEPS "))
                seconds = json.loads(line.removeprefix("STEPS "))
                medians[kind].append(statistics.median(seconds))
                means[kind].append(statistics.mean(seconds))
        print(
            f"pair {pair + 1}: TRL alone {medians['plain'][-1]:.4f} s, ours {medians['ours'][-1]:.4f} s a step; "
            f"means {means['plain'][-1]:.4f} and {means['ours'][-1]:.4f} s",
            flush=True,
        )
    alone, with_ours = (statistics.median(medians[kind]) for kind in ("plain", "ours"))
    spread = max(max(each) - min(each) for each in medians.values()) / alone
    overhead = with_ours / alone - 1
    mean_alone, mean_with_ours = (statistics.median(means[kind]) for kind in ("plain", "ours"))
    print(
        f"mean step: TRL alone {mean_alone:.4f} s, ours {mean_with_ours:.4f} s: {mean_with_ours / mean_alone - 1:+.2%}"
    )
    print(
        f"median step: TRL alone {alone:.4f} s, ours {with_ours:.4f} s: {overhead:+.2%}; runs of one kind differ by {spread:.2%}"
    )
    return int(overhead > max(0.02, spread))


if __name__ == "__main__":
    sys.exit(main())
