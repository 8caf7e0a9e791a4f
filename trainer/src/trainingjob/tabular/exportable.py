"""What can be exported, as far as the data decide it."""

from trainingjob.fields import invalid
from trainingjob.tabular.parameters import TabularConfig
from trainingjob.tabular.prepare import Prepared


def check_exportable(tabular: TabularConfig, prepared: Prepared) -> None:
    """Refuses, before anything is trained, what cannot be exported.

    Raises:
        TrainingError: exit code 2.
    """
    categorical = prepared.problem.categorical
    if "ONNX" in tabular.export and tabular.family.name == "catboost" and categorical:
        raise invalid(
            f'trainer.tabular.export: CatBoost writes no ONNX of a model with categories, such as column "'
            f'{prepared.problem.names[categorical[0]]}"; write preprocessing.encoding: OneHot or Ordinal'
        )
