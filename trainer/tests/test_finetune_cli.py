"""Fine-tuning as a process of its own, as the agent starts it."""

import json
import os
import signal
import subprocess
import sys

from tests.demojob import of_type, read_events
from tests.finetunejob import finetune_config, offered, run
from tests.waiting import wait_until
from trainingjob.exitcodes import ExitCode
from trainingjob.finetune import demo
from trainingjob.storage.manifest import verify


def test_agent_and_configuration_need_none_of_the_libraries():
    code = (
        "import sys, trainingjob.agent.agent, trainingjob.config, trainingjob.cli\n"
        "print({'torch', 'transformers', 'trl', 'numpy', 'datasets', 'pandas', 'sklearn', 'xgboost'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def test_stopped_process_leaves_a_checkpoint_that_is_gone_on_with(tmp_path):
    demo.write_model(tmp_path / "model", hidden=32)
    demo.write_rows(tmp_path / "sft.jsonl", demo.conversations(60))
    long = {"maxSteps": 1_000_000, "warmupSteps": 0, "lrSchedulerType": "constant"}
    config = finetune_config(tmp_path / "run", tmp_path / "model", tmp_path / "sft.jsonl", parameters=long)
    (tmp_path / "config.json").write_text(json.dumps(config))
    events = tmp_path / "events.jsonl"
    events.touch()
    process = subprocess.Popen(
        [sys.executable, "-m", "trainingjob", "run", "--config", str(tmp_path / "config.json")],
        env={**os.environ, "TRAININGJOB_EVENTS": str(events), "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        wait_until(lambda: len(of_type(read_events(events), "evaluation")) >= 2, 120)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == ExitCode.STOPPED
    finally:
        process.kill()
        process.wait()
    told = read_events(events)
    last = of_type(told, "checkpoint")[-1]
    verify(last["uri"], last["manifestSHA256"])
    assert not (tmp_path / "run" / "output").exists()
    more = {**long, "maxSteps": last["step"] + 2}
    again = finetune_config(
        tmp_path / "run", tmp_path / "model", tmp_path / "sft.jsonl", parameters=more, resume=offered(told)
    )
    done = run(tmp_path / "run", again)
    assert done.of("resumed")[0]["step"] == last["step"]
    assert done.code == ExitCode.SUCCESS
