"""The model card: where the model comes from, what it was trained on and how well that went."""

import json
from typing import Any

from trainingjob.config import Config
from trainingjob.finetune.hubtarget import SCHEME
from trainingjob.finetune.parameters import FineTuneConfig


def model_card(config: Config, finetune: FineTuneConfig, step: int, document: dict[str, Any]) -> str:
    """Markdown with the metadata that model hubs read. `document` is what metrics.json holds."""
    rows = "\n".join(
        f"| {at} | {_number(found.get('train/loss'))} | {_number(found.get('eval/loss'))} | {_number(found.get('score'))} |"
        for at, found in document["evaluations"].items()
    )
    dataset, model = finetune.dataset, finetune.model
    commit = document["model"]["revision"]
    revision = f" at commit {commit}" if commit else ""
    data_commit = document["dataset"].get("revision")
    of_data = f" at commit {data_commit}" if data_commit else ""
    # The Hub takes no card whose base is none of its models.
    at_hub = model.source.startswith(SCHEME)
    base = f"base_model: {json.dumps(model.source.removeprefix(SCHEME))}\n" if at_hub else ""
    return f"""---
library_name: transformers
pipeline_tag: text-generation
{base}tags: [trainingjob, {finetune.method.lower()}]
---

# {config.job.name}

{model.source}{revision}, trained by {finetune.method} on {dataset.source}{of_data} (SHA-256 `{document["dataset"]["sha256"]}`).
These are the weights of step {step}; the best step by score is {document["bestStep"]}.

| | |
|---|---|
| Run | {config.job.namespace}/{config.job.name}, uid {config.job.uid}, run {config.job.run}, specification {config.job.spec_hash} |
| Samples | {document["dataset"].get("trainSamples", "read as they came")} to train on, {document["dataset"]["evalSamples"]} held out (seed {dataset.seed}) |
| Parameters | `{json.dumps(document["parameters"])}` |
| LoRA | `{json.dumps(document["lora"])}` |
| Libraries | {", ".join(f"{name} {version}" for name, version in document["versions"].items())} |
| Quantization while training | {finetune.quantization or "none"} |

| Step | Train loss | Eval loss | Score, lower is better |
|---|---|---|---|
{rows}
"""


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.6g}"
