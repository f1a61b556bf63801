"""The tab that trains a new model from category names: one training at a time, which can be canceled."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

import gradio as gr

from wordsight.description_gen.categories import parse_categories, with_known_synonyms
from wordsight.modeling.imagenet_variants import DEFAULT_ENCODER
from wordsight.utils.errors import InvalidInputError, WordsightError, shortened
from wordsight.utils.progress import Progress, duration

from .models import Models
from .training_job import Remark, Trained, TrainingJob, TrainingRequest

Update = dict[Any, Any]
WAIT = 0.5  # seconds until the queue is looked at again
MOST_WAITING = 8  # trainings, the one that runs included
PLACEHOLDER = "cat, kitten\ndog, puppy\nbicycle, bike\ncrane: the bird"


@dataclass(frozen=True)
class TrainingOptions:
    """How new models are trained: decided by the person who starts the app, not by its visitors.

    Attributes:
        encoder: Hub id or path of the encoder, or "imagenet-lite2" or "imagenet".
        llm: Hub id or folder of the language model; None for the small default.
        base_url: a running server to use instead.
    """

    encoder: str = DEFAULT_ENCODER
    llm: str | None = None
    base_url: str | None = None


@dataclass
class Steps:
    """The steps of a training, as far as they have begun, and warnings."""

    steps: dict[str, Progress] = field(default_factory=dict)
    remarks: list[str] = field(default_factory=list)
    began: float = field(default_factory=time.monotonic)

    def to_html(self, last: str) -> str:
        """A list of steps with bars, for people and for screen readers.

        Args:
            last: what comes at the end; the steps before are done, if it is given.
        """
        names = [*self.steps]
        rows = [_row(step, is_done=bool(last) or name != names[-1]) for name, step in self.steps.items()]
        remarks = "".join(f"<p class='remark'>{escape(text)}</p>" for text in self.remarks)
        elapsed = f"<p>{duration(time.monotonic() - self.began)} in all</p>" if rows and not last else ""
        return f"<div role='status'><ol class='steps'>{''.join(rows)}</ol>{elapsed}{remarks}{last}</div>"


class Jobs:
    """The trainings by their visitor's session, in the order in which they were started.

    One runs at a time: a second language model beside the first would take its memory and cores.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[str, TrainingJob] = {}

    def add(self, session: str, job: TrainingJob) -> None:
        """Puts a visitor's job at the end of the queue.

        Raises:
            InvalidInputError: the visitor has one there, or the queue is full.
        """
        with self._lock:
            if session in self._jobs:
                raise InvalidInputError("Your model is being trained. Cancel it first, or wait.")
            if len(self._jobs) >= MOST_WAITING:
                raise InvalidInputError(f"{len(self._jobs)} trainings are waiting already. Try again later.")
            self._jobs[session] = job

    def before(self, job: TrainingJob) -> int:
        """How many run before a job."""
        with self._lock:
            return [*self._jobs.values()].index(job)

    def stop(self, session: str) -> None:
        """Ends a visitor's job, if there is one, and all its processes."""
        if job := self._jobs.get(session):
            job.stop()

    def remove(self, session: str) -> None:
        """Ends a visitor's job, and lets the next one begin."""
        self.stop(session)
        with self._lock:
            self._jobs.pop(session, None)

    def stop_all(self) -> None:
        """Ends all jobs."""
        for session in [*self._jobs]:
            self.stop(session)


class TrainingTab:
    """The tab's components and what they do; built inside `gr.Blocks`.

    Args:
        models: the app's models, which new ones join.
        model: the component that holds the chosen model; a visitor can choose the first one and their own.
        tabs: all tabs; the first opens when the model is ready.
        options: what visitors can't change.
        jobs: the trainings that run or wait.
    """

    def __init__(self, models: Models, model: gr.Dropdown, tabs: gr.Tabs, options: TrainingOptions, jobs: Jobs) -> None:
        self.models, self.model, self.tabs, self.options, self.jobs = models, model, tabs, options, jobs
        gr.Markdown(
            "Name what you want to find in photos. A language model writes sentences about it, and a model is trained "
            "on them. It takes some minutes, and no photos."
        )
        with gr.Row():
            with gr.Column(min_width=300):
                self.names = gr.Textbox(
                    label="Categories",
                    info="One per line; synonyms after it, after commas; its meaning, if ambiguous, after a colon.",
                    lines=8,
                    max_lines=20,
                    placeholder=PLACEHOLDER,
                    elem_id="names",
                )
                self.sentences = gr.Slider(
                    50,
                    4000,
                    600,
                    step=50,
                    label="Sentences",
                    info="More sentences train a better model and take longer.",
                    elem_id="sentences",
                )
                with gr.Row():
                    self.start = gr.Button("Start", variant="primary", min_width=100)
                    self.cancel = gr.Button("Cancel", variant="stop", min_width=100, interactive=False)
            with gr.Column(min_width=300):
                self.status = gr.HTML("", elem_id="status")
        self.choices = gr.State(model.choices)
        self.outputs: list[Any] = [self.status, self.start, self.cancel, self.model, self.choices, self.tabs]
        # The queue is ours: Gradio's own can't show its visitors how long it is.
        self.start.click(
            self.train,
            [self.names, self.sentences, self.choices],
            self.outputs,
            api_name="train",
            concurrency_limit=None,
            show_progress="hidden",
        )
        self.cancel.click(self.stop, api_name="cancel", concurrency_limit=None, show_progress="hidden")

    def train(
        self, names: str, sentences: float, choices: list[tuple[str, str]], request: gr.Request
    ) -> Iterator[Update]:
        """Trains a model and shows its progress."""
        session = str(request.session_hash)
        try:
            job = TrainingJob(self._request(names, sentences))
            self.jobs.add(session, job)
        except InvalidInputError as error:
            yield self._idle(_message(str(error), "error"))
            return
        try:
            while (before := self.jobs.before(job)) and not job.stopped:
                yield self._busy(_message(f"Waiting for {before} other training{'s' if before > 1 else ''}.", "remark"))
                time.sleep(WAIT)
            yield self._busy(_message("Starting ...", "remark"))
            yield from self._follow(job, choices)
        except GeneratorExit:
            # The visitor left: Gradio closes the generator, in its event loop, which must not wait.
            threading.Thread(target=self.jobs.remove, args=(session,)).start()
            raise
        except BaseException:
            self.jobs.remove(session)
            raise
        self.jobs.remove(session)

    def _follow(self, job: TrainingJob, choices: list[tuple[str, str]]) -> Iterator[Update]:
        steps = Steps()
        try:
            for event in job.run():
                if isinstance(event, Trained):
                    yield self._trained(event.model, job.request, steps, choices)
                    return
                if event is None:
                    yield gr.skip()
                elif isinstance(event, Remark):
                    steps.remarks.append(event.text)
                else:
                    steps.steps[event.desc] = event
                    yield self._busy(steps.to_html(""))
        except WordsightError as error:
            yield self._idle(steps.to_html(_message(str(error), "error")))
            return
        job.stop()  # waits until it has ended
        kept = "Canceled: everything it started has ended. Start continues from here."
        yield self._idle(_message(kept, "remark"))

    def stop(self, request: gr.Request) -> None:
        """Cancels the visitor's training; returns when everything it started has ended."""
        self.jobs.stop(str(request.session_hash))

    def _request(self, names: str, sentences: float) -> TrainingRequest:
        categories = with_known_synonyms(parse_categories(names or "", "Categories"))
        if len(categories) < 2:
            raise InvalidInputError("There is only 1 category. Name at least 2: a model learns to tell them apart.")
        options = self.options
        return TrainingRequest(tuple(categories), int(sentences), options.encoder, options.llm, options.base_url)

    def _busy(self, shown: str) -> Update:
        return {self.status: shown, self.start: gr.Button(interactive=False), self.cancel: gr.Button(interactive=True)}

    def _idle(self, shown: str) -> Update:
        return {self.status: shown, self.start: gr.Button(interactive=True), self.cancel: gr.Button(interactive=False)}

    def _trained(self, model: str, request: TrainingRequest, steps: Steps, choices: list[tuple[str, str]]) -> Update:
        name = shortened([category.name for category in request.categories], 3)
        self.models.add(model)
        choices = [*(choice for choice in choices if choice[1] != model), (name, model)]
        ready = steps.to_html(_message(f"Ready: the model labels {name}.", "done"))
        return self._idle(ready) | {
            self.model: gr.Dropdown(choices=choices, value=model, visible=True),
            self.choices: choices,
            self.tabs: gr.Tabs(selected="label"),
        }


def _row(step: Progress, is_done: bool) -> str:
    is_done = is_done or (step.total is not None and step.done >= step.total)
    counts = f"{step.done} {step.unit}s" if step.total is None else f"{step.done} of {step.total} {step.unit}s"
    parts = [counts] if step.unit else []
    if step.rate and not is_done:
        parts.append(f"{step.rate:.3g} {step.unit}s a second")
    if step.remaining is not None and not is_done:
        parts.append(f"{duration(step.remaining)} left")
    # Without a value, a browser shows that something is under way.
    value = f"value='{step.done}' max='{max(step.total, 1)}'" if step.total is not None else ""
    bar = "" if is_done else f"<progress {value} aria-label='{escape(step.desc, quote=True)}'></progress>"
    kind = "done" if is_done else "running"
    return f"<li class='{kind}'><b>{escape(step.desc)}</b> <span>{escape(', '.join(parts))}</span>{bar}</li>"


def _message(text: str, kind: str) -> str:
    return f"<p role='status' class='{kind}'>{escape(text)}</p>"
