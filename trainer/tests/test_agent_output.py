"""What the trainer writes and what it leaves running: log lines, closed outputs, processes."""

import os
import signal
import textwrap

from tests.pod import custom, is_alive
from tests.waiting import wait_until
from trainingjob.agent.hide import hider


def test_output_of_the_trainer_is_cut_into_lines_that_the_operator_takes(start):
    program = """
        import sys
        sys.stdout.write("a" * 2500 + "\\n")
        sys.stdout.write("10%\\r50%\\r100%\\n")
        sys.stdout.buffer.write(b"\\xff\\n"); sys.stdout.flush()
        print("b" * 1000)
        print("last, without an end", end="")
    """
    server, _pod = start(custom(program))
    tail = server.wait_for_final()["logTail"]
    assert [len(line) for line in tail[:3]] == [1001, 1001, 498]
    assert tail[3:] == ["10%", "50%", "100%", "\ufffd", "b" * 1000, "last, without an end"]


def test_log_lines_beyond_what_people_read_stay_in_the_pod(start):
    server, pod = start(custom("for line in range(5000): print('line', line)"))
    final = server.wait_for_final()
    assert final["logTail"] == [f"line {line}" for line in range(4950, 5000)]
    assert 0 < len(server.of_type("log")) < 1000
    assert pod.log.read_text().count("line ") >= 5000


def test_trainer_that_closes_its_output_goes_on_reporting(start):
    program = """
        import os
        from trainingjob import report
        os.close(1); os.close(2)
        for step in range(1, 4): report(step, {})
    """
    server, _pod = start(custom(program))
    assert server.wait_for_final()["outcome"] == "Succeeded"
    assert server.steps == [1, 2, 3]


def test_processes_that_a_trainer_leaves_behind_end_with_it(start):
    program = """
        import subprocess, sys
        from trainingjob import report
        other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        report(other.pid, {})
    """
    server, _pod = start(custom(program))
    assert server.wait_for_final()["outcome"] == "Succeeded"
    (pid,) = server.steps
    wait_until(lambda: not is_alive(pid))


def test_process_that_got_away_cannot_keep_the_run_from_ending(start, tmp_path):
    # It left the group, holds the pipe open and writes events without a pause.
    escaped = """
        import os, sys, time
        with open(os.environ["TRAININGJOB_EVENTS"], "ab", buffering=0) as file:
            open(sys.argv[1], "w").write(str(os.getpid()))
            end = time.monotonic() + 120
            while time.monotonic() < end:
                file.write(b'{"type": "log", "lines": ["x"]}\\n' * 10)
                time.sleep(0.001)
    """
    program = f"""
        import os, subprocess, sys, time
        path = {str(tmp_path / "pid")!r}
        subprocess.Popen([sys.executable, "-c", {textwrap.dedent(escaped)!r}, path], start_new_session=True)
        while not os.path.exists(path): time.sleep(0.02)
    """
    server, _pod = start(custom(program))
    try:
        wait_until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text())
        wait_until(lambda: any(body["stage"] == "Holding" for body in list(server.requests)))
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert server.wait_for_final()["outcome"] == "Succeeded"


def test_secret_that_a_trainer_prints_is_hidden_wherever_its_lines_go(start):
    program = """
        import os
        print("token", os.environ["HUB"], "of", os.environ["REGION"])
        print(os.environ["PEM"])
    """
    env = {"HUB": "hf_planted", "REGION": "eu-planted", "PEM": "first planted\nsecond planted"}
    key = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "bucket"}
    storage = {"keys": {"s3://data/table.csv": key}}
    server, pod = start(custom(program, env=env, secretEnv=["HUB", "PEM"], storage=storage))
    told = ["token [hidden] of eu-planted", "[hidden]", "[hidden]"]
    assert server.wait_for_final()["logTail"] == told
    assert [line for event in server.of_type("log") for line in event["lines"]] == told
    assert "hf_planted" not in pod.log.read_text()
    assert "second planted" not in pod.log.read_text()


def test_longer_secrets_are_hidden_first_and_short_words_never():
    hide = hider(["abcd", "abcdefgh", "of", ""])
    assert hide("abcdefgh of abcd") == "[hidden] of [hidden]"
