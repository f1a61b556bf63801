"""The tab that labels photos: drop some, see their labels, click a label to see where it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
from PIL import Image

from wordsight.pipelines.image_io import open_input
from wordsight.plotting.overlay import overlay
from wordsight.utils.errors import WordsightError

SHOWN_SIDE = 1280  # pixels on the longer side of what is shown and labeled: far more than an encoder sees
MAP_SIDE = 480  # of what heat maps are made for, of all labels at once
MAX_UPLOAD = "200mb"
MOST_PHOTOS = 50  # at a time
MOST_LABELS = 20  # that the slider offers
KEPT = 3600  # seconds that a visitor's photos are kept
NO_PHOTO = "Drop photos here, or choose an example."

# Any, since in a Space the pipeline is of the class that came with the model's repository.
Load = Callable[[str], Any]
Update = dict[Any, Any]


@dataclass(frozen=True)
class Labeled:
    """A photo with the scores of all categories, best first."""

    name: str
    photo: Image.Image
    scores: dict[str, float]

    def best(self, threshold: float, top_k: int) -> dict[str, float]:
        """At most top_k labels, with at least a score."""
        return {label: score for label, score in [*self.scores.items()][:top_k] if score >= threshold}

    def caption(self, threshold: float, top_k: int) -> str:
        """Its name and its labels, in a line."""
        return f"{self.name}: {', '.join(self.best(threshold, top_k)) or 'no label'}"


@contextmanager
def told() -> Iterator[None]:
    """Lets people and programs know what was wrong; Gradio keeps all errors but its own to itself."""
    try:
        yield
    except (WordsightError, ValueError, OSError) as error:
        raise gr.Error(str(error), print_exception=False) from error


def plain(text: str) -> str:
    """Others' words for Markdown, as words alone: no markup, no links, no pictures."""
    return "".join(f"\\{character}" if character in "\\`*_{}[]()#+-.!|<>~&$:" else character for character in text)


class LabelingTab:
    """The tab's components and what they do; built inside `gr.Blocks`.

    Args:
        load: gives the pipeline of a model.
        model: the component that holds the chosen model.
        urls: whether photos may be given by URL: this machine then downloads them.
        examples: paths of photos to try.
        trust: whether the Python code that is shown runs the model repository's own code.
    """

    def __init__(
        self, load: Load, model: gr.Dropdown | gr.State, *, urls: bool, examples: Sequence[str], trust: bool
    ) -> None:
        self.load, self.model, self.urls, self.trust = load, model, urls, trust
        self.labeled = gr.State([], time_to_live=KEPT)
        self.index = gr.State(0)
        with gr.Row():
            with gr.Column(scale=2, min_width=300):
                self._build_inputs(examples)
            with gr.Column(scale=3, min_width=300):
                self._build_outputs()
        self._connect()
        self._offer_to_programs()

    def _build_inputs(self, examples: Sequence[str]) -> None:
        self.files = gr.File(label="Photos", file_count="multiple", file_types=["image"], height=150, elem_id="photos")
        with gr.Row(visible=self.urls, elem_id="address"):
            self.url = gr.Textbox(label="or the URL of a photo", placeholder="https://", scale=3, min_width=160)
            self.fetch = gr.Button("Label", scale=1, min_width=80)
        self.threshold = gr.Slider(
            0, 1, 0.5, step=0.01, label="Threshold", info="0.5 is the calibrated threshold of each category."
        )
        self.top_k = gr.Slider(1, MOST_LABELS, 5, step=1, label="Number of labels (top-k)")
        self.examples = gr.Dataset(
            label="Examples",
            components=[gr.Image(type="filepath", visible=False)],
            samples=[[path] for path in examples],
            visible=bool(examples),
            elem_id="examples",
        )

    def _build_outputs(self) -> None:
        self.problems = gr.Markdown(visible=False, elem_id="problems")
        self.picture = gr.Image(
            label="Photo", interactive=False, type="pil", buttons=["download", "fullscreen"], elem_id="picture"
        )
        self.gallery = gr.Gallery(
            label="All photos",
            show_label=False,
            allow_preview=False,
            visible=False,
            buttons=[],
            elem_id="gallery",
        )
        self.note = gr.Markdown(NO_PHOTO, elem_id="note")
        self.labels = gr.Label(label="Labels", show_heading=False, elem_id="labels")
        with gr.Accordion("Python code", open=False):
            self.code = gr.Code(language="python", interactive=False, show_label=False, elem_id="code")

    def _connect(self) -> None:
        settings = [self.model, self.threshold, self.top_k]
        shown: list[Any] = [self.picture, self.gallery, self.labels, self.note, self.index]
        changed = [self.labeled, self.problems, self.code, *shown]
        private: dict[str, Any] = {"api_visibility": "private"}
        slow = private | {"show_progress_on": self.picture}
        quick = private | {"show_progress": "hidden"}
        dropped = [self.files.upload, self.files.delete, self.files.clear]
        gr.on(dropped, self.label_files, [self.files, *settings], changed, **slow)
        gr.on([self.fetch.click, self.url.submit], self.label_url, [self.url, *settings], changed, **slow)
        self.examples.click(self.label_example, [self.examples, *settings], changed, **slow)
        self.model.change(self.label_again, [self.labeled, self.index, *settings], changed, **slow)
        # One listener for both: of two, the earlier may answer last.
        gr.on(
            [self.threshold.change, self.top_k.change],
            self.show_labels,
            [self.labeled, self.index, *settings],
            [self.labels, self.note, self.code],
            trigger_mode="always_last",
            **quick,
        )
        self.gallery.select(self.choose, [self.labeled, *settings], [self.code, *shown], **quick)
        self.labels.select(self.show_where, [self.labeled, self.index, self.model], [self.picture, self.note], **slow)

    @told()
    def label_files(self, sources: list[str] | None, model: str, threshold: float, top_k: int) -> Update:
        """Labels photos that were uploaded; names those that can't be read, and goes on with the others."""
        results, problems = [], []
        classifier = self.load(model)
        sources = sources or []
        if len(sources) > MOST_PHOTOS:
            problems.append(
                f"- {len(sources)} photos are more than {MOST_PHOTOS}; the first {MOST_PHOTOS} are labeled. For more, "
                "use `wordsight predict`."
            )
        for source in sources[:MOST_PHOTOS]:
            name = source if "://" in source else Path(source).name
            try:
                photo = open_input(source)
                photo.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
                results.append(Labeled(name, photo, all_scores(classifier, photo)))
            except (ValueError, OSError) as error:
                problems.append(f"- {plain(str(error).replace(source, name))}")
        said = gr.Markdown("\n".join(problems), visible=bool(problems))
        return {self.labeled: results, self.problems: said} | self.show(results, 0, model, threshold, top_k)

    def label_url(self, url: str, model: str, threshold: float, top_k: int) -> Update:
        """Labels the photo at a URL."""
        url = url.strip()
        if not self.urls or not url.lower().startswith(("http://", "https://")):
            raise gr.Error("The URL of a photo begins with https:// or http://.", print_exception=False)
        return self.label_files([url], model, threshold, top_k)

    def label_example(self, sample: list[Any], model: str, threshold: float, top_k: int) -> Update:
        """Labels one of the examples."""
        return self.label_files([sample[0]], model, threshold, top_k)

    @told()
    def label_again(self, results: list[Labeled], index: int, model: str, threshold: float, top_k: int) -> Update:
        """Labels the same photos by another model."""
        classifier = self.load(model)
        results = [replace(result, scores=all_scores(classifier, result.photo)) for result in results]
        return {self.labeled: results} | self.show(results, index, model, threshold, top_k)

    def choose(self, results: list[Labeled], model: str, threshold: float, top_k: int, event: gr.SelectData) -> Update:
        """Shows another one of the photos."""
        return self.show(results, event.index, model, threshold, top_k)

    def show(self, results: list[Labeled], index: int, model: str, threshold: float, top_k: int) -> Update:
        """Shows one of the photos, its labels, and the code that gives them."""
        labels = self.show_labels(results, index, model, threshold, top_k)
        if not results:
            nothing = {self.labels: None, self.note: NO_PHOTO, self.picture: None, self.index: 0}
            return labels | nothing | {self.gallery: gr.Gallery(None, visible=False)}
        several = len(results) > 1
        captioned = [(result.photo, result.caption(threshold, top_k)) for result in results]
        return labels | {
            self.picture: gr.Image(results[index].photo, label=results[index].name),
            self.gallery: gr.Gallery(captioned if several else None, visible=several, selected_index=None),
            self.index: index,
        }

    def show_labels(self, results: list[Labeled], index: int, model: str, threshold: float, top_k: int) -> Update:
        """Shows the labels of a photo that is shown already, and the code that gives them."""
        code = {self.code: python_code(model, threshold, top_k, self.trust)}
        if not results:
            return code  # a slider that was moved before a photo was there may answer after that photo's labels
        best = results[index].best(threshold, top_k)
        first, score = next(iter(results[index].scores.items()))
        note = "Click a label to see where it is."
        if not best:
            note = (
                f"No label reaches the threshold {threshold:.2f}. The best one is **{plain(first)}** with {score:.2f}."
            )
        return code | {self.labels: best or None, self.note: note}

    @told()
    def show_where(self, results: list[Labeled], index: int, model: str, event: gr.SelectData) -> Update:
        """Lays the heat map of the chosen label over the photo."""
        if not results:  # kept for an hour only
            return {self.picture: None, self.note: NO_PHOTO}
        name, photo, label = results[index].name, results[index].photo, str(event.value)
        lit = overlay(photo, heat_map(self.load(model), photo, label))
        note = f"Bright areas support **{plain(label)}** most; its score says whether it is in the photo at all."
        return {self.picture: gr.Image(lit, label=f"{name}: {label}"), self.note: note}

    def _offer_to_programs(self) -> None:
        """Endpoints for `gradio_client`: photo to labels, and photo and label to its overlay."""

        def label(photo: str, model: str, threshold: float, top_k: int) -> list[dict[str, Any]]:
            """Labels of a photo, best first."""
            with told():
                classifier, opened = self.load(model), open_input(photo)
                found: list[dict[str, Any]] = classifier(opened, threshold=threshold, top_k=int(top_k))
                return found

        def heatmap(photo: str, model: str, label: str) -> Image.Image:
            """A photo with the heat map of a label over it."""
            with told():
                opened = open_input(photo)
                opened.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
                return overlay(opened, heat_map(self.load(model), opened, label))

        with gr.Group(visible=False):
            photo, name = gr.File(file_types=["image"]), gr.Textbox()
            gr.Button().click(label, [photo, self.model, self.threshold, self.top_k], gr.JSON(), api_name="label")
            gr.Button().click(heatmap, [photo, self.model, name], gr.Image(type="pil"), api_name="heatmap")


def all_scores(classifier: Any, photo: Image.Image) -> dict[str, float]:
    """The scores of all of a model's categories for a photo, best first."""
    return {entry["label"]: entry["score"] for entry in classifier(photo)}


def heat_map(classifier: Any, photo: Image.Image, label: str) -> Image.Image:
    """Where in a photo a label is: mode "L", of the photo's proportions.

    Raises:
        ValueError: the model has no such label.
    """
    small = photo.copy()
    small.thumbnail((MAP_SIDE, MAP_SIDE))
    for entry in classifier(small, output_heatmaps=True):
        if entry["label"] == label:
            heatmap: Image.Image = entry["heatmap"]
            return heatmap
    raise ValueError(f"The model has no label {label!r}.")


def python_code(model: str, threshold: float, top_k: int, trust: bool) -> str:
    """The Python that labels a photo in the same way."""
    own = "" if trust else "import wordsight\n"
    trusting = ", trust_remote_code=True" if trust else ""
    return (
        f"{own}from transformers import pipeline\n\n"
        f'classifier = pipeline("multi-label-image-classification", model="{model}"{trusting})\n'
        f'print(classifier("photo.jpg", threshold={threshold:g}, top_k={top_k:g}))\n'
    )
