"""Trainings: canceled in each phase, they leave no process behind and lose nothing that was done."""

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

from tests.fixtures.process import processes_with
from wordsight.app.training_job import Trained, TrainingFailedError, TrainingJob, TrainingRequest
from wordsight.description_gen import Category
from wordsight.modeling.encoders.imagenet import cached_imagenet_encoder
from wordsight.utils.progress import Progress

CATEGORIES = (Category("cat", ("kitten",)), Category("boat", ("ship",)), Category("house"))
PHASES = ("Starting vLLM", "Asking about categories", "Writing sentences", "Learning prompts")


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """A cache of the test's own, with the encoder and the language model of everybody's."""
    for built in cached_imagenet_encoder().parent.iterdir():
        if built.name.startswith(("offline-encoder", "SmolLM2")):
            (tmp_path / built.name).symlink_to(built)
    monkeypatch.setenv("WORDSIGHT_CACHE", str(tmp_path))
    return tmp_path


@pytest.fixture
def with_server(cache, vllm_server, monkeypatch):
    """A request that the session's language model server answers."""
    monkeypatch.setenv("WORDSIGHT_API_KEY", vllm_server.api_key)
    return TrainingRequest(CATEGORIES, 30, base_url=vllm_server.base_url)


@pytest.fixture(autouse=True)
def nothing_is_left(cache):
    """Every process that a test starts, or that one of those starts, is gone at its end."""
    yield
    _, alive = psutil.wait_procs(started_with(cache), timeout=30)  # of a job that ends by itself, nobody waits
    assert not alive


def started_with(cache):
    """All processes that got a test's cache by their environment."""
    return processes_with("WORDSIGHT_CACHE", cache)


def wait_for_vllm(cache):
    """Returns when a test's own language model server is starting."""
    end = time.monotonic() + 60
    while time.monotonic() < end:
        for process in started_with(cache):
            with contextlib.suppress(psutil.Error):
                if "vllm.entrypoints" in " ".join(process.cmdline()):
                    return
        time.sleep(0.1)
    raise AssertionError("vLLM does not start")


def stop_in(job, phase):
    """Runs a job until a phase goes on, stops it there, and gives what it said; nothing of it runs any more then."""
    cache = Path(os.environ["WORDSIGHT_CACHE"])
    events, stopping = [], None
    for event in job.run():
        events.append(event)
        is_there = isinstance(event, Progress) and event.desc.startswith(phase) and (event.done or phase == PHASES[0])
        if is_there and stopping is None:
            if phase == PHASES[0]:
                wait_for_vllm(cache)
            assert started_with(cache)
            stopping = threading.Thread(target=job.stop)
            stopping.start()
    stopping.join()
    assert not started_with(cache)
    assert phases_of(events)[-1] == phase and not any(isinstance(event, Trained) for event in events)
    return events


def phases_of(events):
    seen = dict.fromkeys(event.desc for event in events if isinstance(event, Progress))
    return [phase for phase in PHASES if any(desc.startswith(phase) for desc in seen)]


def test_stopped_while_its_server_starts(cache):
    assert phases_of(stop_in(TrainingJob(TrainingRequest(CATEGORIES, 60)), PHASES[0])) == [PHASES[0]]


def answers(request):
    path = request.folder() / "texts" / ".progress" / "answers.jsonl"
    return path.read_text().splitlines()


@pytest.mark.slow
def test_stopped_in_each_phase_goes_on_where_it_was(with_server):
    written = []
    for phase in PHASES[1:]:
        stop_in(TrainingJob(with_server), phase)
        before, written = written, answers(with_server)
        assert written[: len(before)] == before and len(set(written)) == len(written) > len(before)
    *events, last = TrainingJob(with_server).run()
    assert isinstance(last, Trained) and phases_of(events)[-1] == PHASES[3]
    assert answers(with_server) == written  # nothing is asked again
    assert (with_server.folder() / "model" / "config.json").is_file()
    assert [*TrainingJob(with_server).run()] == [last]  # at once


def test_what_goes_wrong_is_told(with_server, monkeypatch):
    monkeypatch.setenv("WORDSIGHT_API_KEY", "another")
    with pytest.raises(TrainingFailedError, match=f"{with_server.base_url}.* WORDSIGHT_API_KEY"):
        [*TrainingJob(with_server).run()]


def test_stopped_before_it_began(cache):
    job = TrainingJob(TrainingRequest(CATEGORIES, 60))
    job.stop()
    assert [*job.run()] == [] and not job.folder.exists()


def test_killed_app_leaves_nothing(cache):
    code = (
        "from wordsight.app.training_job import TrainingJob, TrainingRequest\n"
        "from wordsight.description_gen import Category\n"
        "job = TrainingJob(TrainingRequest((Category('cat'), Category('dog')), 60))\n"
        "for event in job.run(): print(event, flush=True)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if "Starting vLLM" in line:
                break
        wait_for_vllm(cache)
        started = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(started, timeout=40)
    assert not alive
