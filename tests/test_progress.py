"""Progress: bars on a terminal, plain lines in a log, calls to who listens, silence where it is asked for."""

import json
import os
import pty
import re
import subprocess
import sys
import threading
import time
import warnings

import pytest
from huggingface_hub.utils import enable_progress_bars
from PIL import Image
from transformers.utils import logging

from wordsight import TrainingConfig, cli, train_prompts
from wordsight.utils.progress import Progress, is_quiet, listening, progress_bar

ON_A_TERMINAL = """
import os, sys, time
from wordsight.utils.progress import progress_bar

with progress_bar("Writing [bold]sentences", 40, "sentence") as bar:
    for _ in range(40):
        time.sleep(0.01)
        bar.update()
    print("a result")
    print("a remark", file=sys.stderr)
    if not (child := os.fork()):
        os._exit(hasattr(sys.stderr, "rich_proxied_file"))
    assert os.waitpid(child, 0)[1] == 0, "a forked process writes through the bar"
    assert hasattr(sys.stderr, "rich_proxied_file")
with progress_bar("Starting a server"):
    time.sleep(0.2)
"""


@pytest.fixture
def command(monkeypatch):
    """Runs the command line in this process, and puts back what it changes in it."""
    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    for name in (
        "WORDSIGHT_QUIET",
        "TQDM_DISABLE",
        "HF_DATASETS_DISABLE_PROGRESS_BARS",
        "HF_HUB_DISABLE_PROGRESS_BARS",
    ):
        monkeypatch.setenv(name, "")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["wordsight", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.run()
        assert not ended.value.code

    yield run
    enable_progress_bars()
    logging.enable_progress_bar()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, texts_dir, tiny_clip_dir):
    """A model, and what was heard while it was made."""
    out = tmp_path_factory.mktemp("progress") / "model"
    heard = []
    with listening(heard.append):
        cache = out.with_name("features")
        train_prompts(texts_dir, out, str(tiny_clip_dir), config=TrainingConfig(epochs=2), feature_cache=cache)
    return out, heard


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("photos") / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.new("RGB", (40, 40), "red").save(path)
    return paths


def test_lines_in_a_log(capsys, monkeypatch):
    monkeypatch.setenv("FORCE_COLOR", "1")  # as CI sets it; rich would take a log for a terminal
    with progress_bar("Writing sentences\r\x1b[0m", 30, "sentence") as bar:
        for _ in range(23):
            time.sleep(0.1)
            bar.update()
        bar.note = "loss 0.5"
        bar.update(7)
    text = capsys.readouterr().err
    assert re.fullmatch(r"[\x20-\x7e\n]*", text) and text.endswith("\n")
    under_way, finished = text.splitlines()
    found = re.fullmatch(r"Writing sentences  \[0m: (\d+)/30 sentences, ([\d.]+) sentences/s, (\d+) s left", under_way)
    done, rate, left = (float(group) for group in found.groups())
    assert 0 < done <= 20 and 0 < rate <= 10.5
    assert left == pytest.approx((30 - done) / rate + 0.5, abs=0.6)  # rounded up
    assert re.fullmatch(
        r"Writing sentences  \[0m: 30/30 sentences, [\d.]+ sentences/s, \d+(\.\d)? s, loss 0\.5", finished
    )


def test_steps_of_unknown_length_in_a_log(capsys):
    with progress_bar("Loading a moment"):
        pass
    with progress_bar("Labeling photos", unit="photo") as bar:
        bar.update(3)
    with progress_bar("Starting a server"):
        time.sleep(2.2)
    assert re.fullmatch(
        r"Labeling photos: 3 photos, 0\.\d s\nStarting a server: 2\.\d s so far\nStarting a server: \d\.\d s\n",
        capsys.readouterr().err,
    )


def test_what_was_done_before_does_not_count_for_the_rate():
    heard = []
    with listening(heard.append), progress_bar("Asking", 1000, "answer", initial=900) as bar:
        for _ in range(6):
            time.sleep(0.1)
            bar.update()
    assert heard[0].done == 900 and heard[-1].done == 906
    assert heard[-1].rate < 10.5 and heard[-1].remaining > 5


def test_a_bar_on_a_terminal():
    leader, follower = pty.openpty()
    environment = os.environ | {"TERM": "xterm-256color", "COLUMNS": "120"}
    process = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL], stdout=subprocess.PIPE, stderr=follower, env=environment, text=True
    )
    os.close(follower)
    drawn = b""
    while True:
        try:
            drawn += os.read(leader, 65536)
        except OSError:  # Linux's way to say that the other end is closed
            break
    stdout, _ = process.communicate(timeout=30)
    os.close(leader)
    assert process.returncode == 0, drawn.decode()
    assert stdout == "a result\n"  # a pipe gets its share, not the terminal
    shown = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", drawn.decode())
    last = next(line for line in re.split(r"[\r\n]+", shown) if "40/40" in line)
    assert re.match(r"Writing \[bold\]sentences ━+ 40/40 +[\d.]+ sentences/s +0:00:0\d 0:00:00", last), last
    assert "a remark" in shown and re.search(r"Starting a server 0:00:00", shown)


def test_who_listens_hears_starts_ends_and_little_between(capsys):
    heard = []

    def a_step_elsewhere():
        with progress_bar("Elsewhere"):
            pass

    with listening(heard.append):
        with progress_bar("Quick", 1000, "text") as bar:
            for _ in range(1000):
                bar.update()
        with pytest.raises(ZeroDivisionError), progress_bar("Broken", 3, "text") as bar:
            bar.update()
            raise ZeroDivisionError
        thread = threading.Thread(target=a_step_elsewhere)
        thread.start()
        thread.join()
    with progress_bar("Unheard"):
        pass
    assert heard[0] == Progress("Quick", 0, 1000, "text", None, None)
    steps = [("Quick", 0), ("Quick", 1000), ("Broken", 0), ("Broken", 1), ("Elsewhere", 0), ("Elsewhere", 0)]
    assert [(progress.desc, progress.done) for progress in heard] == steps
    assert capsys.readouterr().err == ""


def test_training_is_heard(trained):
    _, heard = trained
    steps = list(dict.fromkeys(progress.desc for progress in heard))
    assert steps[-3:] == ["Sentence features", "Learning prompts", "Fitting thresholds"]
    learning = [progress for progress in heard if progress.desc == "Learning prompts"]
    assert (learning[0].done, learning[-1].done) == (0, learning[0].total)
    assert learning[0].unit == "step" and learning[-1].remaining == 0


def test_only_the_first_process_shows(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    heard = []
    with progress_bar("Learning prompts", 3, "step") as bar:
        bar.update(3)
    with listening(heard.append), progress_bar("Learning prompts", 3, "step") as bar:
        bar.update(3)
    assert capsys.readouterr().err == "" and heard == []


def test_quiet(command, trained, photos, capsys):
    model, _ = trained
    command("predict", model, *photos, "--json")
    loud = capsys.readouterr()
    assert re.fullmatch(r"Labeling photos: 2/2 photos, [\d.]+ photos/s, [\d.]+ s\n", loud.err)
    for arguments in (("--quiet", "predict", model, *photos), ("predict", model, *photos, "--quiet")):
        os.environ["WORDSIGHT_QUIET"] = "0"
        command(*arguments, "--json")
        quiet = capsys.readouterr()
        assert quiet.err == "" and json.loads(quiet.out) == json.loads(loud.out)
    assert is_quiet()  # processes that are started from here hear of it
    command("predict", model, *photos, "--json")
    assert capsys.readouterr().err == ""


def test_a_log_of_training_holds_no_control_characters(command, texts_dir, tiny_clip_dir, tmp_path, capfd):
    command("train", texts_dir, "--encoder", tiny_clip_dir, "--out", tmp_path / "model", "--epochs", 1)
    logged = capfd.readouterr()
    assert "Learning prompts: " in logged.err and (tmp_path / "model" / "config.json").is_file()
    assert re.fullmatch(r"[\x20-\x7e\n]*", logged.out + logged.err)
