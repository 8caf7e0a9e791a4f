"""When more steps are not worth their price."""

import math
from collections.abc import Mapping

from trainingjob.tabular.parameters import EarlyStopping


def exhausted(scores: Mapping[int, float], rule: EarlyStopping) -> bool:
    """Whether the last evaluations, as many as the rule has patience for, all failed to lower the score by more than its delta."""
    best, waited = math.inf, 0
    for _, score in sorted(scores.items()):
        if score < best - rule.min_delta:
            best, waited = score, 0
        else:
            waited += 1
    return waited >= rule.patience
