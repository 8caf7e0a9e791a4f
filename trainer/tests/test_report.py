"""What people look at: plots, the page, the model card; and names of any kind in all of them."""

import csv
import json
from html.parser import HTMLParser

import pytest

from tests.demojob import of_type
from tests.finished import run
from trainingjob.cli import main
from trainingjob.exitcodes import ExitCode
from trainingjob.tabular.families.known import FAMILIES

AWKWARD = 'a,"b" ; drop'
NAMES = [AWKWARD, "größe in m²", "<script>alert(1)</script>", "{{ 7 * 7 }}", "$x_1$", "[0]", "day"]
PNG = b"\x89PNG\r\n\x1a\n"


def awkward_rows():
    """Sixty rows of numbers, texts, truth values and dates; the target depends on them."""
    for row in range(60):
        color = ("red", 'grün, "blau"', "<b>")[row % 3]
        number = "" if row % 17 == 3 else repr((row * 7 % 11) / 2)
        label = 'yes, "sure"' if (row * 7 % 11) > 5 or row % 3 == 1 else "no"
        day = f"2026-{row % 12 + 1:02}-{row % 28 + 1:02}"
        yield [number, color, str(row % 5), "true" if row % 4 else "false", str(row % 13), str(row % 6), day, label]


def awkward_config(folder, model_type, **tabular):
    with (folder / "data.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*NAMES, 'the "target", ok'])
        writer.writerows(awkward_rows())
    return {
        "trainer": {
            "tabular": {
                "modelType": model_type,
                "dataset": {"source": (folder / "data.csv").as_uri(), "testSplit": "0.25"},
                "target": 'the "target", ok',
                **tabular,
            }
        },
        "checkpoints": {},
        "storage": {"checkpoints": (folder / "checkpoints").as_uri(), "output": (folder / "output").as_uri()},
    }


class Page(HTMLParser):
    """Texts and tags of a page."""

    def __init__(self, text):
        super().__init__()
        self.texts, self.tags = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data):
        self.texts.append(data)


# A few rounds; leaves that so few rows can fill.
PARAMETERS = {
    "xgboost": {"nEstimators": 12},
    "lightgbm": {"nEstimators": 12, "minDataInLeaf": 2},
    "catboost": {"iterations": 12},
}


@pytest.fixture(scope="module", params=FAMILIES)
def awkward(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("awkward")
    return FAMILIES[request.param], run(folder, config_of(folder, request.param))


def config_of(folder, family):
    return awkward_config(folder, f"{family}_binary_classification", parameters=PARAMETERS.get(family, {}))


def test_names_of_any_kind_go_from_manifest_to_prediction(awkward, tmp_path):
    _, done = awkward
    assert done.code == ExitCode.SUCCESS
    output = done.folder / "output"
    schema = json.loads((output / "schema.json").read_text())
    assert [column["name"] for column in schema["features"]] == NAMES
    assert schema["target"]["classes"] == ["no", 'yes, "sure"']
    path = tmp_path / "predictions.csv"
    asked = ["--model", str(output), "--data", str(output / "heldout.csv"), "--output", str(path)]
    assert main(["predict", *asked]) == 0
    assert path.read_bytes() == (output / "predictions.csv").read_bytes()
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["prediction", "probability of no", 'probability of yes, "sure"']
    assert {row["prediction"] for row in rows} <= {"no", 'yes, "sure"'}
    assert len(rows) == 15


def test_prediction_of_a_file_that_is_not_there_says_which_flag_to_correct(awkward, tmp_path, capsys):
    _, done = awkward
    asked = [
        "--model",
        str(done.folder / "output"),
        "--data",
        str(tmp_path / "none.csv"),
        "--output",
        str(tmp_path / "p.csv"),
    ]
    assert main(["predict", *asked]) == ExitCode.DATA
    assert "none.csv is not there; " in (said := capsys.readouterr().err)
    assert said.rstrip().endswith("or correct --data")


def test_page_needs_nothing_beside_it_and_takes_no_name_for_markup(awkward):
    _, done = awkward
    text = (done.folder / "output" / "report.html").read_text(encoding="utf-8")
    page = Page(text)
    assert "script" not in {tag for tag, _ in page.tags}
    for name in NAMES:
        assert any(name in shown for shown in page.texts)
    for tag, attributes in page.tags:
        assert tag != "link"
        for attribute in ("src", "href"):
            assert (attributes.get(attribute) or "data:").startswith("data:")
    stored = {path.stem for path in (done.folder / "output").glob("*.png")}
    assert len([tag for tag, _ in page.tags if tag == "img"]) == len(stored)
    assert any(f"{done.metrics['accuracy']:.4f}" in shown for shown in page.texts)


def test_plots_are_there_or_it_is_said_why(awkward):
    family, done = awkward
    output = done.folder / "output"
    wanted = {"confusion_matrix", "roc", "precision_recall", "calibration", "learning_curve", "feature_importance"}
    stored = {path.stem for path in output.glob("*.png")}
    assert stored | set(done.metrics["not_computed"]) >= wanted
    assert not stored & set(done.metrics["not_computed"])
    assert ("learning_curve" in stored) == (family.steps is not None)
    for path in output.glob("*.png"):
        content = path.read_bytes()
        assert content.startswith(PNG)
        assert len(content) > 2000


def test_figures_are_of_the_test_part_and_follow_from_its_predictions(awkward):
    _, done = awkward
    output = done.folder / "output"
    assert done.metrics["measured_on"] == "test"
    assert done.metrics["rows"] == {"train": 33, "evaluation": 12, "test": 15}
    with (output / "heldout.csv").open(newline="", encoding="utf-8") as file:
        truth = [row['the "target", ok'] for row in csv.DictReader(file)]
    with (output / "predictions.csv").open(newline="", encoding="utf-8") as file:
        found = [row["prediction"] for row in csv.DictReader(file)]
    pairs = list(zip(truth, found, strict=True))
    classes = ["no", 'yes, "sure"']
    assert done.metrics["confusion_matrix"] == [[pairs.count((a, b)) for b in classes] for a in classes]
    assert done.metrics["accuracy"] == sum(a == b for a, b in pairs) / 15


def test_model_card_says_what_it_is(awkward):
    family, done = awkward
    card = (done.folder / "output" / "README.md").read_text(encoding="utf-8")
    assert card.startswith(f"---\nlibrary_name: {family.library}\npipeline_tag: tabular-classification\n")
    assert f"| accuracy | {done.metrics['accuracy']:.6g} |" in card
    assert '| a,"b" ; drop | Numeric |' in card
    assert "| \\<script\\>alert(1)\\</script\\> |" in card


def test_same_seed_gives_the_same_files(awkward, tmp_path):
    family, done = awkward
    again = run(tmp_path, config_of(tmp_path, family.name))
    for path in (done.folder / "output").iterdir():
        if path.name in ("manifest.json", "metrics.json", "report.html", "model.cbm", "model.skops", "model.keras"):
            continue
        second = (again.folder / "output" / path.name).read_bytes()
        # The card names the file that the rows came from.
        there, here = (str(each.folder).encode() for each in (done, again))
        assert second.replace(here, b"") == path.read_bytes().replace(there, b""), path.name
    assert again.lasting_metrics == done.lasting_metrics


def test_regression_says_what_there_is_no_share_of(tmp_path):
    rows = "".join(f"{index % 7},{index % 5}\n" for index in range(40))
    (tmp_path / "data.csv").write_text(f"a,y\n{rows}")
    done = run(
        tmp_path,
        {
            "trainer": {
                "tabular": {
                    "modelType": "random_forest_regression",
                    "dataset": {"source": (tmp_path / "data.csv").as_uri(), "evalSplit": "0.5"},
                    "target": "y",
                    "parameters": {"nEstimators": 5},
                }
            },
            "checkpoints": {},
            "storage": {"checkpoints": (tmp_path / "c").as_uri(), "output": (tmp_path / "output").as_uri()},
        },
    )
    assert "mape" not in done.metrics
    assert done.metrics["not_computed"]["mape"] == "the target is zero in some rows, and there is no share of zero"
    assert (tmp_path / "output" / "residuals.png").read_bytes().startswith(PNG)
    assert "What could not be computed" in (tmp_path / "output" / "report.html").read_text()
    assert len(of_type(done.events, "evaluation")) == 1
