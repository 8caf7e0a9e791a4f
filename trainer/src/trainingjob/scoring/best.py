"""The best step of a run, evaluation by evaluation."""

from dataclasses import dataclass, field

from trainingjob.scoring.score import Goal, Score, multi_metric_score, single_metric_score


@dataclass(frozen=True)
class Scoring:
    """How evaluations are ranked: MultiMetric when `metric` is None, else by that metric."""

    metric: str | None
    goal: Goal


@dataclass(frozen=True)
class Evaluation:
    """What one evaluation event carries; losses are None where there was none that is finite."""

    step: int
    eval_loss: float | None
    train_loss: float | None
    metrics: dict[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True)
class Scored:
    """What an evaluation got; `score` is None when it cannot be scored, and then nothing changes."""

    score: Score | None
    improved: bool
    is_best: bool


@dataclass
class BestTracker:
    """The incumbent keeps the score that it earned; a challenger must be strictly lower."""

    scoring: Scoring
    best_step: int | None = None
    best_score: float | None = None
    previous_eval_loss: float | None = None

    def add(self, evaluation: Evaluation) -> Scored:
        """Scores one evaluation. Whether it improved is decided first; the first scorable one counts as improved."""
        loss, previous = evaluation.eval_loss, self.previous_eval_loss
        improved = previous is None or (loss is not None and loss < previous)
        score = self._score(evaluation, improved=improved)
        if score is None:
            return Scored(None, improved=False, is_best=False)
        if loss is not None:
            self.previous_eval_loss = loss
        is_best = self.best_score is None or score.score < self.best_score
        if is_best:
            self.best_step, self.best_score = evaluation.step, score.score
        return Scored(score, improved, is_best)

    def _score(self, evaluation: Evaluation, *, improved: bool) -> Score | None:
        name = self.scoring.metric
        if name is None:
            return multi_metric_score(evaluation.eval_loss, evaluation.train_loss, improved=improved)
        value = evaluation.eval_loss if name == "eval/loss" else evaluation.metrics.get(name)
        return single_metric_score(name, value, self.scoring.goal)
