"""What else could have been the result."""


def lowest(evaluations: dict[int, dict[str, float]]) -> dict[str, float]:
    """What the step of lowest eval loss would have been, for whoever compares the two."""
    step = min(evaluations, key=lambda step: evaluations[step]["eval/loss"])
    found = evaluations[step]
    return {
        "step": step,
        **{name.removeprefix("eval/"): value for name, value in found.items() if name.startswith("eval/")},
    }
