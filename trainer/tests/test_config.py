"""The configuration: every wrong member gets its sentence, and zero is a value."""

import pytest

from trainingjob.config import Custom, parse_config
from trainingjob.exitcodes import ExitCode, TrainingError
from trainingjob.resuming import Resumable
from trainingjob.tabular.parameters import TabularConfig

TABULAR = {"modelType": "xgboost_binary_classification", "dataset": {"source": "file:///d.csv"}, "target": "y"}


def tabular(**members):
    return {"trainer": {"tabular": {**TABULAR, **members}}}


def parameters(**members):
    return tabular(parameters=members)


def dataset(**members):
    return tabular(dataset={"source": "file:///d.csv", **members})


def custom(**members):
    return {"trainer": {"custom": members}}


def with_custom(**members):
    return {**custom(command=["x"]), **members}


WRONG = [
    ([], "must be an object, not []"),
    ({}, "trainer: is missing"),
    ({"trainer": {}}, "trainer: write exactly one of fineTune, tabular and custom"),
    ({"trainer": {"tabular": TABULAR, "custom": {"command": ["x"]}}}, "trainer: write exactly one of"),
    ({"trainer": {"fineTuned": {}}}, 'trainer.fineTuned: is not known. Did you mean "fineTune"?'),
    (with_custom(evalution={}), 'evalution: is not known. Did you mean "evaluation"?'),
    (with_custom(protocolVersion=2), "protocolVersion: is 2, this trainer speaks 1"),
    (tabular(modelType="xgboost_binary"), 'Did you mean "xgboost_binary_classification"?'),
    (tabular(modelType=7), "trainer.tabular.modelType: must be a text that is not empty, not 7"),
    (tabular(target=""), "trainer.tabular.target: must be a text that is not empty"),
    (tabular(features=[]), "trainer.tabular.features: must be a list of column names"),
    (tabular(features="a"), "trainer.tabular.features: must be a list of column names"),
    (tabular(features=["a", "b", "a"]), 'trainer.tabular.features: names "a" twice'),
    (tabular(targets="y"), 'trainer.tabular.targets: is not known. Did you mean "target"?'),
    (tabular(dataset=None), "trainer.tabular.dataset: is missing"),
    (tabular(dataset={}), "trainer.tabular.dataset.source: must be a text that is not empty, not nothing"),
    (dataset(evalSplit="1"), "trainer.tabular.dataset.evalSplit: must be a number between 0 and 1"),
    (dataset(evalSplit="0"), "trainer.tabular.dataset.evalSplit: must be a number between 0 and 1"),
    (dataset(evalSplit="a fifth"), "trainer.tabular.dataset.evalSplit: must be a number between 0 and 1"),
    (dataset(evalSplit=True), "trainer.tabular.dataset.evalSplit: must be a number between 0 and 1"),
    (dataset(seed=-1), "trainer.tabular.dataset.seed: must be a whole number of at least 0, not -1"),
    (dataset(seed=1.5), "trainer.tabular.dataset.seed: must be a whole number"),
    (dataset(seed=True), "trainer.tabular.dataset.seed: must be a whole number"),
    (dataset(seed=2**32), "trainer.tabular.dataset.seed: must be at most 4294967295"),
    (
        dataset(source="http://h/d.csv?k=v"),
        "source: http://h/d.csv would come over the network as plain text; write https://",
    ),
    (
        dataset(source="https://h/?k=v"),
        "dataset.source: must be the address of a file, such as https://data.example.com/rows.csv",
    ),
    (dataset(source="https://u:p@h/d.csv"), "dataset.source: must not contain a user or password"),
    (dataset(source="https://h/d#e.csv"), "dataset.source: must not contain '#'; write %23"),
    (dataset(source="https://h:x/d.csv"), "dataset.source: must be the address of a file"),
    (
        dataset(source="https://h/d.csv", revision="v1"),
        "trainer.tabular.dataset.revision: is for hf:// only; leave it out",
    ),
    (dataset(sha256="A" * 64), "trainer.tabular.dataset.sha256: must be the SHA-256 of the file, 64 of the characters"),
    (dataset(sed=1), 'trainer.tabular.dataset.sed: is not known. Did you mean "seed"?'),
    (parameters(nEstimators=0), "trainer.tabular.parameters.nEstimators: must be a whole number of at least 1"),
    (parameters(nEstimators="9"), "trainer.tabular.parameters.nEstimators: must be a whole number of at least 1"),
    (parameters(maxDepth=65), "trainer.tabular.parameters.maxDepth: must be at most 64"),
    (parameters(learningRate="0"), "trainer.tabular.parameters.learningRate: must be a number above 0"),
    (parameters(learningRate="nan"), "trainer.tabular.parameters.learningRate: must be a number above 0"),
    (parameters(learningRate="inf"), "trainer.tabular.parameters.learningRate: must be a number above 0"),
    (parameters(learningRate="1e39"), "trainer.tabular.parameters.learningRate: must be a number above 0"),
    (parameters(learningRate=10**400), "trainer.tabular.parameters.learningRate: must be a number above 0"),
    (parameters(subsample="1.1"), "trainer.tabular.parameters.subsample: must be a number above 0 and at most 1"),
    (parameters(colsampleBytree="0"), "trainer.tabular.parameters.colsampleBytree: must be a number above 0"),
    (parameters(minChildWeight="-1"), "trainer.tabular.parameters.minChildWeight: must be a number from 0"),
    (parameters(gamma=[1]), "trainer.tabular.parameters.gamma: must be a number from 0"),
    (parameters(regAlpha="1e39"), "trainer.tabular.parameters.regAlpha: must be a number from 0 to 1e38"),
    (parameters(regLambda=""), "trainer.tabular.parameters.regLambda: must be a number from 0"),
    (parameters(learning_rate="1"), 'learning_rate: is not known. Did you mean "learningRate"?'),
    (custom(), "trainer.custom.command: is empty"),
    (custom(command=[]), "trainer.custom.command: is empty"),
    (custom(command="python train.py"), "trainer.custom.command: must be a list of texts"),
    (custom(command=["python", 3]), "trainer.custom.command: must be a list of texts"),
    (custom(command=["python"], args="train.py"), "trainer.custom.args: must be a list of texts"),
    (custom(command=["x"], arg=["y"]), 'trainer.custom.arg: is not known. Did you mean "args"?'),
    (with_custom(env={"A": 1}), "env: must be an object of texts"),
    (with_custom(env=["A=1"]), "env: must be an object of texts"),
    (with_custom(evaluation={}), "evaluation.everySteps: must be a whole number of at least 1, not nothing"),
    (with_custom(evaluation={"everySteps": 0}), "evaluation.everySteps: must be a whole number of at least 1, not 0"),
    (with_custom(checkpoints={"keepBest": 0}), "checkpoints.keepBest: must be a whole number of at least 1"),
    (with_custom(checkpoints={"keepLast": 0}), "checkpoints.keepLast: must be a whole number of at least 1"),
    (with_custom(checkpoints={"everySteps": 0}), "checkpoints.everySteps: must be a whole number of at least 1"),
    (with_custom(checkpoints={"everyMinutes": 0}), "checkpoints.everyMinutes: must be a whole number of at least 1"),
    (with_custom(checkpoints={"uri": 5}), "checkpoints.uri: must be a text"),
    (with_custom(output={"uri": 5}), "output.uri: must be a text"),
    (with_custom(output={"uri": "file:///m", "merge": True}), "output.merge: is for fineTune only; leave it out"),
    (with_custom(storage={"output": 5}), "storage.output: must be a text"),
    (with_custom(storage={"outputs": "file:///m"}), 'storage.outputs: is not known. Did you mean "output"?'),
    (with_custom(storage={"s3": 5}), "storage.s3: must be an object, not 5"),
    (with_custom(storage={"s3": {"endpont": "x"}}), 'storage.s3.endpont: is not known. Did you mean "endpoint"?'),
    (
        with_custom(storage={"s3": {"endpoint": "s3.example.com"}}),
        "storage.s3.endpoint: must be an address such as https://",
    ),
    (
        with_custom(storage={"s3": {"endpoint": "https://me:word@s3.example.com"}}),
        "must not contain a user or password",
    ),
    (with_custom(storage={"s3": {"region": ""}}), "storage.s3.region: must be a text that is not empty"),
    (with_custom(storage={"s3": {"pathStyle": "true"}}), "storage.s3.pathStyle: must be true or false, not 'true'"),
    (with_custom(storage={"s3": {"pathStyle": 1}}), "storage.s3.pathStyle: must be true or false, not 1"),
    (with_custom(resume=[]), "resume: must be an object, not []"),
    (with_custom(resume={}), "resume.checkpoints: is missing"),
    (
        with_custom(resume={"checkpoints": [{}] * 9}),
        "resume.checkpoints: must be at most 8, not 9; leave the oldest out",
    ),
    (with_custom(resume={"checkpoints": "x"}), "resume.checkpoints: must be a list, not 'x'"),
    (with_custom(resume={"checkpoints": [{"uri": "u"}]}), "resume.checkpoints[0].step: must be a whole number"),
    (
        with_custom(resume={"checkpoints": [{"uri": "u", "step": 1, "manifestSHA256": ""}]}),
        "resume.checkpoints[0].manifestSHA256: must be a text that is not empty",
    ),
    (with_custom(scoring={"strategy": "Best"}), "scoring.strategy: must be MultiMetric or SingleMetric, not 'Best'"),
    (with_custom(scoring={"strategy": "SingleMetric"}), "scoring.metric: must be an object, not nothing"),
    (
        with_custom(scoring={"strategy": "SingleMetric", "metric": {"name": "eval/loss", "goal": "Min"}}),
        "scoring.metric.goal: must be Minimize or Maximize, not 'Min'",
    ),
    (with_custom(agent={"heartbeatSeconds": 0}), "agent.heartbeatSeconds: must be a number of seconds above 0"),
    (with_custom(agent={"holdSeconds": -1}), "agent.holdSeconds: must be a number of seconds of at least 0"),
    (with_custom(job={"attempt": "1"}), "job.attempt: must be a whole number"),
    (with_custom(job={"uuid": "1"}), 'job.uuid: is not known. Did you mean "uid"?'),
]


@pytest.mark.parametrize(("value", "sentence"), WRONG, ids=[sentence[:50] for _, sentence in WRONG])
def test_wrong_configuration(value, sentence):
    with pytest.raises(TrainingError) as caught:
        parse_config(value)
    assert caught.value.code == ExitCode.CONFIGURATION
    assert sentence in str(caught.value)


def test_zero_is_a_value():
    config = parse_config(
        {
            **tabular(
                dataset={"source": "file:///d.csv", "seed": 0},
                parameters={"gamma": "0", "regLambda": 0, "minChildWeight": "0.0", "randomState": 0},
            ),
            "job": {"attempt": 0},
            "agent": {"holdSeconds": 0, "stopGraceSeconds": 0},
        }
    )
    assert isinstance(config.trainer, TabularConfig)
    chosen = config.trainer.parameters
    assert (
        config.trainer.seed,
        chosen["gamma"],
        chosen["reg_lambda"],
        chosen["min_child_weight"],
        chosen["random_state"],
    ) == (
        0,
        0.0,
        0.0,
        0.0,
        0,
    )
    assert (config.job.attempt, config.agent.hold, config.agent.stop_grace) == (0, 0, 0)


def test_defaults():
    config = parse_config(tabular())
    assert isinstance(config.trainer, TabularConfig)
    assert (config.trainer.eval_split, config.trainer.seed, config.trainer.features) == (0.2, 42, None)
    assert config.trainer.parameters["n_estimators"] == 100
    assert (config.scoring.metric, config.scoring.goal) == (None, "Minimize")
    assert (config.checkpoints, config.evaluation_every_steps) == (None, None)


def test_settings_of_s3_become_variables():
    s3 = {"endpoint": "http://127.0.0.1:9000", "region": "eu-ro-1", "pathStyle": False}
    assert parse_config(with_custom(storage={"s3": s3})).storage.s3 == {
        "AWS_ENDPOINT_URL": "http://127.0.0.1:9000",
        "AWS_REGION": "eu-ro-1",
        "TRAININGJOB_S3_PATH_STYLE": "0",
    }
    for nothing in (None, {}, {"endpoint": None, "region": None, "pathStyle": None}):
        assert parse_config(with_custom(storage={"s3": nothing})).storage.s3 == {}


def test_what_to_go_on_from():
    entry = {"uri": "file:///c", "step": 0, "manifestSHA256": "a" * 64}
    assert parse_config(with_custom(resume={"checkpoints": [entry]})).resume == (Resumable("file:///c", 0, "a" * 64),)
    assert parse_config(with_custom(resume={"checkpoints": []})).resume == ()
    assert parse_config(with_custom(resume=None)).resume is None


def test_custom_command_is_command_and_args():
    config = parse_config(custom(command=["python", "-u"], args=["train.py", ""]))
    assert config.trainer == Custom(("python", "-u", "train.py", ""))


def test_decimals_may_be_numbers_too():
    config = parse_config(parameters(learningRate=0.25))
    assert isinstance(config.trainer, TabularConfig)
    assert config.trainer.parameters["learning_rate"] == 0.25
