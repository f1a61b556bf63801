"""Labellers in the making: cancelled in each phase, they leave no process behind and lose nothing that was done."""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import psutil
import pytest

from wordsight.app.job import LabellerError, LabellerJob, LabellerRequest, Made
from wordsight.description_gen import Category
from wordsight.modeling.encoders.offline import cached_offline_encoder
from wordsight.progress import Progress

CATEGORIES = (Category("cat", ("kitten",)), Category("boat", ("ship",)), Category("house"))
PHASES = ("Starting vLLM", "Asking about categories", "Writing sentences", "Learning prompts")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, with the encoder and the language model of everybody's."""
    for built in cached_offline_encoder().parent.iterdir():
        if built.name.startswith(("offline-encoder", "SmolLM2")):
            (tmp_path / built.name).symlink_to(built)
    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def with_server(cache, vllm_server, monkeypatch):
    """A request that the session's language model server answers."""
    monkeypatch.setenv("WORDSIGHT_API_KEY", vllm_server.api_key)
    return LabellerRequest(CATEGORIES, 60, base_url=vllm_server.base_url)


@pytest.fixture(autouse=True)
def nothing_is_left(cache):
    """Every process that a test starts, or that one of those starts, is gone at its end."""
    yield
    assert not started_with(cache)


def started_with(cache):
    """All processes that got a test's cache by their environment, whoever their parent is by now."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.environ().get("WORDSIGHT_CACHE") == str(cache) and process.pid != os.getpid():
                found.append(process)
    return found


def stop_in(job, phase):
    """Runs a job until a phase goes on, stops it there, and gives what it said."""
    events = []
    for event in job.run():
        events.append(event)
        if isinstance(event, Progress) and event.desc.startswith(phase) and (event.done or phase == PHASES[0]):
            stopping = threading.Thread(target=job.stop)
            stopping.start()
            assert started_with(Path(os.environ["WORDSIGHT_CACHE"]))
    stopping.join()
    return events


def phases_of(events):
    seen = dict.fromkeys(event.desc for event in events if isinstance(event, Progress))
    return [phase for phase in PHASES if any(desc.startswith(phase) for desc in seen)]


def test_stopped_while_the_server_starts_and_while_sentences_are_written(cache):
    request = LabellerRequest(CATEGORIES, 400)
    assert phases_of(stop_in(LabellerJob(request), PHASES[0])) == [PHASES[0]]
    assert not started_with(cache)
    events = stop_in(LabellerJob(request), PHASES[2])
    assert phases_of(events) == list(PHASES[:3])
    assert not any(isinstance(event, Made) for event in events)
    assert len(answers(request)) > 0


def answers(request):
    path = request.folder() / "texts" / ".progress" / "answers.jsonl"
    return path.read_text().splitlines()


@pytest.mark.parametrize("phase", [PHASES[1], PHASES[3]])
def test_stopped_goes_on_where_it_was(with_server, phase):
    events = stop_in(LabellerJob(with_server), phase)
    assert phases_of(events)[-1] == phase and not any(isinstance(event, Made) for event in events)
    kept = answers(with_server)
    *_, last = LabellerJob(with_server).run()
    assert isinstance(last, Made)
    assert answers(with_server)[: len(kept)] == kept and len(set(answers(with_server))) == len(answers(with_server))
    assert (with_server.folder() / "model" / "config.json").is_file()
    assert [*LabellerJob(with_server).run()] == [last]  # at once


def test_what_goes_wrong_is_told(cache):
    with pytest.raises(LabellerError, match=r"no-such-model"):
        [*LabellerJob(LabellerRequest(CATEGORIES, 60, llm="./no-such-model")).run()]


def test_stopped_before_it_began(cache):
    job = LabellerJob(LabellerRequest(CATEGORIES, 60))
    job.stop()
    assert [*job.run()] == [] and not job.folder.exists()


def commands(pid):
    """The command lines of a process's descendants."""
    return [" ".join(child.cmdline()) for child in psutil.Process(pid).children(recursive=True)]


def test_killed_app_leaves_nothing(cache):
    code = (
        "from wordsight.app.job import LabellerJob, LabellerRequest\n"
        "from wordsight.description_gen import Category\n"
        "job = LabellerJob(LabellerRequest((Category('cat'), Category('dog')), 60))\n"
        "for event in job.run(): print(event, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "Starting vLLM" in line:
                break
        while not any("vllm.entrypoints" in line for line in commands(process.pid)):
            time.sleep(0.1)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(started, timeout=40)
    assert not alive
