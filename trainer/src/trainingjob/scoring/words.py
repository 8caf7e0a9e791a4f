"""The tracking of the best step in words, for the log."""

from trainingjob.scoring.best import BestTracker, Evaluation, Scored


def initialised(tracker: BestTracker) -> str:
    """What a run says before its first evaluation, or where it goes on."""
    scoring = tracker.scoring
    if scoring.metric is None:
        how = "MultiMetric (eval loss, gap to the train loss, perplexity, bonus of an improvement)"
    else:
        how = f"{scoring.metric}, {'less' if scoring.goal == 'Minimize' else 'more'} is better"
    known = "" if tracker.best_step is None else f"; best so far is step {tracker.best_step}, {tracker.best_score:.6f}"
    return f"best step tracker initialised: scored by {how}; the lowest score is best{known}"


def told(evaluation: Evaluation, scored: Scored) -> str:
    """One evaluation: the losses that were tracked, the score with all that it is made of, and whether it is a new best."""
    losses = f"eval loss {_number(evaluation.eval_loss)}, train loss {_number(evaluation.train_loss)}"
    if scored.score is None:
        return f"step {evaluation.step}: {losses}; it cannot be scored and changes nothing"
    parts = ", ".join(f"{name} {value:.4f}" for name, value in scored.score.components.items())
    best = "NEW BEST: " if scored.is_best else ""
    return f"{best}step {evaluation.step}: {losses}; score {scored.score.score:.6f} ({parts})"


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.4f}"
