"""Progress: bars on a terminal, plain lines in a log, calls to who listens, silence where it is asked for."""

import json
import os
import pty
import re
import subprocess
import sys
import termios
import threading
import time
import warnings

import pytest
from huggingface_hub.utils import enable_progress_bars
from PIL import Image
from transformers.utils import logging

from wordsight import PromptTrainingArguments, cli, train_prompts
from wordsight.utils import progress
from wordsight.utils.progress import Progress, is_quiet, listening, progress_bar

ON_A_TERMINAL = """
import time
from wordsight.utils.progress import progress_bar

with progress_bar("Writing [bold]sentences", 40, "sentence") as bar:
    for _ in range(40):
        time.sleep(0.01)
        bar.update()
    print("a result")
with progress_bar("Starting a server"):
    time.sleep(0.2)
with progress_bar("Slow", 2, "step") as bar:
    time.sleep(1.5)
    bar.update()
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
        args = PromptTrainingArguments(str(out), num_train_epochs=2, global_batch_size=256, feature_cache=str(cache))
        train_prompts(texts_dir, out, str(tiny_clip_dir), args=args)
    return out, heard


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    paths = [tmp_path_factory.mktemp("photos") / f"{name}.png" for name in "ab"]
    for path in paths:
        Image.new("RGB", (40, 40), "red").save(path)
    return paths


def test_lines_in_a_log(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOG_INTERVAL", 1.0)
    with progress_bar("Writing sentences", 30, "sentence") as bar:
        for _ in range(23):
            time.sleep(0.06)
            bar.update()
        bar.set_postfix_str("loss 0.5", refresh=False)
        bar.update(7)
    text = capsys.readouterr().err
    assert re.fullmatch(r"[\x20-\x7e\n]*", text) and text.endswith("\n")
    under_way, finished = text.splitlines()
    assert re.fullmatch(r"Writing sentences: +\d+% \d+/30 \[00:01<00:0\d, +[\d.]+ sentences/s\]", under_way)
    assert re.fullmatch(r"Writing sentences: 100% 30/30 \[00:0\d<00:00, +[\d.]+ sentences/s, loss 0\.5\]", finished)


@pytest.mark.parametrize(("seconds", "rate"), [(0.02, r"\d\d\.\d\d steps/s"), (1.2, r"1\.2\d s/step")])
def test_rates_read_well_whether_fast_or_slow(capsys, seconds, rate):
    with progress_bar("Learning prompts", 3, "step") as bar:
        for _ in range(1 if seconds > 1 else 3):
            time.sleep(seconds)
            bar.update()
    assert re.search(rf"<[\d:?]+, +{rate}\]\n$", capsys.readouterr().err)


def test_steps_of_unknown_length_in_a_log(capsys):
    with progress_bar("Labeling photos", unit="photo") as bar:
        bar.update(3)
    with progress_bar("Starting a server") as bar:
        bar.update(0)
    assert re.fullmatch(
        r"Labeling photos: 3 photos \[00:00, +[\d.]+ photos/s\]\nStarting a server \.\.\.\n", capsys.readouterr().err
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
    termios.tcsetwinsize(follower, (30, 120))
    environment = os.environ | {"TERM": "xterm-256color"}
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
    assert re.match(r"Writing \[bold\]sentences: 100%\|█+\| 40/40 \[00:0\d<00:00, +[\d.]+ sentences/s\]", last), last
    assert re.search(r"Starting a server: 00:00", shown)
    assert re.search(r"Slow: +50%\|[^|]+\| 1/2 \[00:01<00:01, +1\.5\d s/step\]", shown)


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
    with progress_bar("Unheard", 2, "text"):
        pass
    assert heard[0] == Progress("Quick", 0, 1000, "text", None, None)
    steps = [("Quick", 0), ("Quick", 1000), ("Broken", 0), ("Broken", 1), ("Elsewhere", 0), ("Elsewhere", 0)]
    assert [(step.desc, step.done) for step in heard] == steps
    assert capsys.readouterr().err == ""


def test_training_is_heard(trained):
    _, heard = trained
    steps = list(dict.fromkeys(step.desc for step in heard))
    assert steps[-3:] == ["Sentence features", "Learning prompts", "Fitting thresholds"]
    learning = [step for step in heard if step.desc == "Learning prompts"]
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
    assert loud.err.splitlines()[-1].startswith("Labeling photos: 100% 2/2 [")
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
