"""The command `trainingjob`."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import Any

from trainingjob import __version__, reporting
from trainingjob.config import parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.fields import invalid
from trainingjob.run import train_here, with_output


def entry() -> None:
    """Console entry point."""
    sys.exit(main(sys.argv[1:]))


def main(arguments: list[str]) -> int:
    """Runs one command and returns its exit code."""
    parser = argparse.ArgumentParser(prog="trainingjob", description="Trainer and agent of a TrainingJob's pod")
    parser.add_argument("--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("agent", help="entry point of the image: gets its work from the operator")
    run = commands.add_parser("run", help="do the work of a configuration file, without an operator")
    run.add_argument("--config", type=Path, required=True, help="JSON file, as the operator would send it")
    run.add_argument("--output", type=Path, help="folder for checkpoints and model instead of those in the file")
    ask = commands.add_parser("predict", help="predict for the rows of a file with the model that a tabular run stored")
    ask.add_argument("--model", required=True, help="folder of the run's output: a path, file:///... or s3://...")
    ask.add_argument(
        "--data", required=True, help="CSV, Parquet or Excel file: a path or the address of one, as in a job"
    )
    ask.add_argument("--output", type=Path, required=True, help="CSV file to write")
    options = parser.parse_args(arguments)
    if options.command == "agent":
        from trainingjob.agent.agent import run_agent

        return run_agent(dict(os.environ))
    if options.command == "predict":
        return _predict(options.model, options.data, options.output)
    try:
        raw = _read(options.config)
        config = parse_config(raw if options.output is None else with_output(raw, options.output))
    except TrainingError as error:
        reporting.emit({"type": "failure", "message": str(error)})
        sys.stderr.write(f"{error}\n")
        return int(error.code)
    return train_here(config)


def _predict(model: str, data: str, output: Path) -> int:
    # Imported here: the agent of a custom trainer needs none of its libraries.
    from trainingjob.tabular.predict import predict

    try:
        sys.stderr.write(f"{predict(_address(model), _address(data), output)}\n")
    except TrainingError as error:
        sys.stderr.write(f"{error}\n")
        return int(error.code)
    return 0


def _address(text: str) -> str:
    return text if "://" in text else Path(text).absolute().as_uri()


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text())
    except OSError as error:
        raise invalid(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise invalid(f"{path} is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise invalid(f"{path} must hold a JSON object")
    return value


__all__ = ["ExitCode", "entry", "main"]
