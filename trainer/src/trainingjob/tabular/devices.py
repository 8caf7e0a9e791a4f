"""What a model is trained on: GPUs where there are some that its library can use, the CPU otherwise."""

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Literal

from trainingjob.exitcodes import ExitCode, TrainingError

Build = Literal["CUDA", "OpenCL"]

_ALONE = ("random_forest", "svm")
_MOST_BORDERS = 255


@dataclass(frozen=True)
class Seen:
    """`gpus` are the names of NVIDIA's devices in order; `builds` is what the family's library can use of them."""

    gpus: tuple[str, ...] = ()
    builds: frozenset[Build] = frozenset()


@dataclass(frozen=True)
class Device:
    """`how` the library is told, with the places of the GPUs that it uses. `name` is for people, as are `notes`. `changed` are
    parameters that are others than were asked for, because the device has none such."""

    how: Literal["CPU", "CUDA", "OpenCL"] = "CPU"
    gpus: tuple[int, ...] = ()
    name: str = "CPU"
    notes: tuple[str, ...] = ()
    changed: Mapping[str, Any] = field(default_factory=dict)


def choose(
    family: str,
    parameters: Mapping[str, Any],
    defaults: Mapping[str, Any],
    seen: Seen,
    searched: frozenset[str] = frozenset(),
) -> Device:
    """The device of a run.

    Args:
        parameters, defaults: Of the family by their Python names. A default that GPUs have no such thing for gives way; one that
            was chosen keeps the run on the CPU.
        searched: Names of those that a search tries values of; its trials have one device.
    """
    if not seen.gpus:
        return Device(notes=("trained on the CPU: no NVIDIA GPU is here",))
    here = f"{len(seen.gpus)} GPU{'s' if len(seen.gpus) > 1 else ''}"
    if family in _ALONE:
        return _idle(here, f"scikit-learn trains {family} on nothing else")
    if not seen.builds:
        return _idle(here, f"{family} as it is installed can use none of them with this driver")
    changed: dict[str, Any] = {}
    notes: list[str] = []
    if family == "catboost":
        if parameters["border_count"] > _MOST_BORDERS or "borderCount" in searched:
            return _idle(
                here, f"CatBoost has at most {_MOST_BORDERS} borders there, and borderCount is or may be higher"
            )
        if "rsm" in searched:
            return _idle(here, "CatBoost leaves out columns on the CPU alone, and the search tries rsm")
        if parameters["rsm"] != 1:
            if parameters["rsm"] != defaults["rsm"]:
                return _idle(here, "CatBoost leaves out columns on the CPU alone, and rsm is below 1")
            changed["rsm"] = 1.0
            notes.append("rsm is 1: CatBoost leaves out columns on the CPU alone")
    used = tuple(range(len(seen.gpus))) if family == "catboost" else (0,)
    if len(used) < len(seen.gpus):
        notes.append(f"one of {here} is used: {family} trains a model on one GPU here; rent one")
    how: Build = "CUDA" if "CUDA" in seen.builds else "OpenCL"
    name = ", ".join(f"GPU {place} {seen.gpus[place]}" for place in used) + f" ({how})"
    return Device(how, used, name, (f"trained on {name}", *notes), changed)


def _idle(here: str, reason: str) -> Device:
    return Device(notes=(f"trained on the CPU, with {here} idle: {reason}; CPU candidates do the same for less",))


def gpus_here(environment: Mapping[str, str] = os.environ) -> tuple[str, ...]:
    """Names of the GPUs that this process may use, as nvidia-smi lists them and CUDA_VISIBLE_DEVICES leaves them; none where
    nothing answers."""
    tool = shutil.which("nvidia-smi", path=environment.get("PATH"))
    if tool is None:
        return ()
    try:
        listed = subprocess.run([tool, "-L"], capture_output=True, text=True, errors="replace", timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ()
    lines = [line for line in listed.stdout.splitlines() if line.startswith("GPU ")]
    # GPU 0: NVIDIA RTX A5000 (UUID: GPU-…)
    names = [line.partition(": ")[2].partition(" (UUID")[0] for line in lines]
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if visible is None:
        return tuple(names)
    found: list[str] = []
    for each in visible.split(","):
        place = next((index for index, line in enumerate(lines) if each and f"(UUID: {each}" in line), None)
        if each.strip().isdigit() and int(each) < len(names):
            place = int(each)
        if place is None:
            # As CUDA reads it: what comes behind one that is not there does not count.
            break
        found.append(names[place])
    return tuple(found)


@contextmanager
def held(device: Device) -> Iterator[None]:
    """Work on a device: a GPU whose memory does not suffice ends the run with exit code 4 and a sentence."""
    try:
        yield
    except Exception as error:
        words = str(error).lower()
        if device.how == "CPU" or not ("out of memory" in words or "memoryallocation" in words or "bad_alloc" in words):
            raise
        raise TrainingError(
            ExitCode.OUT_OF_MEMORY,
            f"the memory of {device.name} did not suffice; choose a GPU with more, fewer rows or columns, or a CPU candidate: "
            f"{str(error).splitlines()[0][:200]}",
        ) from error
