"""Pushes a Space: a page on the Hub where everybody can try a model."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from huggingface_hub import CommitInfo, HfApi

from wordsight.example_photos import example_photos
from wordsight.model_cards import render_space_card
from wordsight.modeling.configuration_wordsight import WordsightConfig
from wordsight.utils.errors import InvalidInputError, MissingDependencyError
from wordsight.version import __version__

from .errors import explained
from .push import DEFAULT_MESSAGE, card_maker
from .remote_code import joined_source
from .requirements import installed_version, requirements
from .upload import Destination, Upload, push_files, retry

# The modules that make app.py, in the order in which they need each other.
MODULES = (
    "wordsight.utils.errors",
    "wordsight.modeling.tiling",
    "wordsight.pipelines.photo_formats",
    "wordsight.pipelines.image_io",
    "wordsight.plotting.overlay",
    "wordsight.app.theme",
    "wordsight.app.labeling_tab",
    "wordsight.app.space_app",
)
# What app.py needs beside what the code that comes with the model needs.
REQUIREMENTS = ("gradio", "matplotlib")
# Stock photos that are in the public domain.
EXAMPLES = ("astronaut", "chelsea", "coffee", "rocket")

HEADER = f'''"""A page where everybody can try the model, made by `wordsight push --space`. Apache-2.0.

It is put together from modules of wordsight {__version__}, which need not be installed. The next push makes it anew.
"""
'''
MAIN = """
CSS = {css!r}

if __name__ == "__main__":
    examples = sorted(map(str, Path(__file__).parent.glob("examples/*.jpg")))
    app = space_app({model!r}, {revision!r}, examples)
    app.launch(theme=theme(), css=CSS, max_file_size=MAX_UPLOAD, ssr_mode=False)
"""


def push_space(model: str, to: Destination, *, commit_message: str | None = None) -> CommitInfo:
    """Pushes the page of a model that is on the Hub: `app.py`, `requirements.txt`, some photos to try, and the card.

    The Hub's machines run the model's own code, so wordsight itself need not be installed there. They take the model as
    it is now: push again to show a newer one.

    Args:
        model: the model's id on the Hub.
        to: where to; always a Space.
        commit_message: of the commit.

    Raises:
        HubError: the Hub refused or did not answer.
        InvalidInputError: it is not a wordsight model, or the Space's name is not valid.
        MissingDependencyError: Gradio, whose version the Space is to run, is not installed.
    """
    api = HfApi(token=to.token)
    with explained(model, api.endpoint):
        revision = str(retry(lambda: api.model_info(model)).sha)
        config = retry(lambda: WordsightConfig.from_pretrained(model, revision=revision, token=to.token))
    if config.category_names == [] or config.model_type != WordsightConfig.model_type:
        raise InvalidInputError(f"{model} is not a wordsight model. Push one first: wordsight push FOLDER {model}.")
    if (gradio := installed_version("gradio")) is None:
        raise MissingDependencyError("A Space needs Gradio. Run `pip install 'wordsight[app]'`.")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "app.py").write_text(app_source(model, revision), encoding="utf-8")
        (folder / "requirements.txt").write_text("\n".join(requirements(config, REQUIREMENTS)) + "\n", encoding="utf-8")
        photos = [Path(path) for path in example_photos() if Path(path).stem in EXAMPLES]
        upload = Upload(
            {name: folder / name for name in ("app.py", "requirements.txt")}
            | {f"examples/{photo.name}": photo for photo in photos},
            card_maker(
                lambda repo_id, _linked: render_space_card(repo_id, model, config.category_names, gradio), None, {}
            ),
            commit_message or DEFAULT_MESSAGE.format("Space"),
        )
        return push_files(upload, replace(to, repo_type="space"))


def app_source(model: str, revision: str) -> str:
    """The source of a Space's `app.py`.

    Args:
        model: the model's id on the Hub.
        revision: its commit.
    """
    css = (files("wordsight.app") / "app.css").read_text(encoding="utf-8")
    source = joined_source("app", MODULES, dict.fromkeys(MODULES, "app"), HEADER)
    return source + MAIN.format(css=css, model=model, revision=revision)
