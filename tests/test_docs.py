"""The documentation: all code on all pages runs, what it prints is what the pages show, and the site builds.

WORDSIGHT_RECORD=1 runs the pages as they stand (with all the sentences) and writes outputs and pictures into them.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest
from huggingface_hub import HfApi
from PIL import Image

from tests.fixtures.app import free_port
from tests.fixtures.hub.access import TOKENS, User
from tests.fixtures.pages import ROOT, commands, read_page, record, run_page, shape
from wordsight.example_photos import load_photos
from wordsight.modeling.training.arguments import ENCODER_DEFAULTS

RECORD = bool(os.environ.get("WORDSIGHT_RECORD"))
PAGES = [read_page(path) for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")))]
WITH_CODE = [page for page in PAGES if any(block.language in {"bash", "python"} for block in page.blocks)]
TUTORIAL = next(page for page in PAGES if page.name == "docs/tutorial.md")
SLOW = {"docs/how-to/ray.md"}  # whose processes import PyTorch anew
SENTENCES, EPOCHS = 20, 1
COLUMNS = 100
PORT = free_port()  # for the page that starts a server
# Real ids of encoders, behind which the Hub of the tests has tiny ones of the same kind.
ENCODERS = {"openai/clip-vit-base-patch16": "tiny_clip_dir", "google/siglip2-base-patch16-224": "tiny_siglip_dir"}


def substitute(code):
    """All that is changed in a page's code: fewer sentences (and epochs, below), the Hub's user, a server's port."""
    code = re.sub(r"\buser/", "alice/", code).replace("8765", str(PORT))
    return code if RECORD else re.sub(r"((?:--)?sentences[= ])\d+", rf"\g<1>{SENTENCES}", code)


@pytest.fixture(scope="session")
def real_ids(request):
    """The Hub has the encoders that the pages name."""
    with pytest.MonkeyPatch.context() as patch:
        for repo_id, folder in ENCODERS.items():
            owner = repo_id.split("/")[0]
            patch.setitem(TOKENS, f"hf_{owner}", User(owner))
            api = HfApi(token=f"hf_{owner}")
            api.create_repo(repo_id)
            api.upload_folder(repo_id=repo_id, folder_path=request.getfixturevalue(folder))


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory):
    """The folder in which the tutorial is run, once for all pages, and what it printed."""
    return tmp_path_factory.mktemp("tutorial"), []


@pytest.fixture
def run(tutorial, tmp_path, shared_server, real_ids, hub, monkeypatch):
    """Runs a page in a folder of its own, a how-to in a copy of the tutorial's; gives the folder and the outputs."""
    if not RECORD:
        for defaults in ENCODER_DEFAULTS.values():
            monkeypatch.setitem(defaults, "num_train_epochs", EPOCHS)
    monkeypatch.setenv("COLUMNS", str(COLUMNS))
    monkeypatch.setenv("HF_TOKEN", hub.tokens["write"])
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")

    def run_in_place(page):
        folder, outputs = tutorial
        if page is TUTORIAL or "how-to" in page.name:
            if not outputs:
                monkeypatch.chdir(folder)
                outputs += run_page(TUTORIAL, substitute)
            if page is TUTORIAL:
                return folder, outputs
            shutil.copytree(folder, tmp_path, dirs_exist_ok=True)
            add_collections(tmp_path)
        else:
            load_photos()["coffee"].save(tmp_path / "photo.jpg")
        monkeypatch.chdir(tmp_path)
        return tmp_path, run_page(page, substitute)

    return run_in_place


def add_collections(folder):
    """A COCO folder and tars of photos, as readers have them."""
    shutil.copytree(folder / "photos", folder / "data/coco/val2017")
    write_coco(folder / "data/coco", {"chelsea": "cat", "coffee": "cup", "rocket": "rocket", "china": "building"})
    (folder / "crawl").mkdir()
    for number in range(2):
        with tarfile.open(folder / f"crawl/{number}.tar", "w") as tar:
            tar.add(folder / "photos/flower.jpg", "flower.jpg")


def write_coco(folder, labels):
    """`instances_val2017.json` of some photos, each with one object."""
    known = [*labels.values(), "giraffe"]  # which the model does not know
    content = {
        "images": [{"id": i, "file_name": f"{name}.jpg"} for i, name in enumerate(labels)],
        "annotations": [{"image_id": i, "category_id": i, "area": 5000} for i in range(len(labels))],
        "categories": [{"id": i, "name": name} for i, name in enumerate(known)],
    }
    (folder / "annotations").mkdir()
    (folder / "annotations/instances_val2017.json").write_text(json.dumps(content))


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=pytest.mark.slow) if page.name in SLOW else page for page in WITH_CODE],
    ids=lambda page: page.name,
)
def test_all_code_runs_and_prints_what_the_page_shows(page, run):
    folder, outputs = run(page)
    if RECORD:
        readers = any("user/" in block.code for block in page.blocks if block.language != "text")
        record(page, [(b, text.replace("alice/", "user/") if readers else text) for b, text in outputs], folder)
        return
    for link, file in page.pictures.items():
        assert (folder / file).is_file(), f"{page.name} makes no {file}"
        assert (page.path.parent / link).is_file(), f"{page.name} shows no {link}"
    names = {name for file in folder.rglob("knowledge.json") for name in names_in(file)}
    for block, printed in outputs:
        where = f"{page.name}, line {block.start}"
        if "output varies" in block.remarks:
            assert block.code.strip() and len(printed.splitlines()) == len(block.code.splitlines()), where
        else:
            assert shape(substitute(printed), names) == shape(substitute(block.code), names), where


def names_in(file):
    return [category["name"] for category in json.loads(file.read_text())["categories"]]


def test_few_blocks_are_not_run_and_each_says_why():
    blocks = [block for page in PAGES for block in page.blocks if block.language in {"bash", "python"}]
    left_out = [block for block in blocks if "parsed only" in block.remarks]
    lines = sum(len(commands(block.code)) for block in blocks)
    assert sum(len(commands(block.code)) for block in left_out) <= 0.25 * lines
    assert all(len(block.remarks["parsed only"].split()) >= 2 for block in left_out)


def test_every_code_block_says_its_language():
    known = {"bash", "python", "text", "json", "yaml", "toml", "math", ""}  # "" is a drawing
    found = {(page.name, block.start): block.language for page in PAGES for block in page.blocks}
    assert {place: language for place, language in found.items() if language not in known} == {}


def test_a_wrong_option_an_unknown_program_and_a_missing_name_are_found(tmp_path):
    for code, error in (
        ("```bash\nwordsight train texts --out m --color red\n```", "color"),
        ("```bash\nwordsight predict\n```", "model"),
        ("```bash\naccelerate launch -m wordsight train texts\n```", "out"),
        ("```bash\nmake tea\n```", "tea"),
        ("```bash\ncurl example.org\n```", "No way to check curl"),
        ("```bash\npip install 'wordsight[nothing]'\n```", "nothing"),
        ("```python\nfrom wordsight import nothing\n```", "nothing"),
    ):
        (tmp_path / "page.md").write_text(f"<!-- parsed only: a test -->\n{code}\n")
        with pytest.raises(BaseException, match=error):
            run_page(read_page(tmp_path / "page.md"), substitute)


def test_outputs_are_told_apart_by_all_but_numbers_and_categories():
    table = "│ photos/cat.jpg │ cat 0.81, person 0.28 │\n"
    assert shape(table * 6, {"cat", "person"}) == shape("│ photos/cat.jpg │ person 0.9, cat 0.1 │", {"cat", "person"})
    assert shape(table, {"cat", "person"}) != shape("│ photos/cat.jpg │ cat, person │", {"cat", "person"})
    assert shape("800 sentences in my-texts", {"cat"}) != shape("800 sentences in texts", {"cat"})


def test_the_site_builds_without_a_warning_and_needs_no_other_server(tmp_path):
    build = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", tmp_path],
        cwd=ROOT,
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
    )
    assert build.returncode == 0, build.stderr
    assert "WARNING" not in build.stderr
    pages = sorted(tmp_path.rglob("*.html"))
    assert len(pages) >= len(PAGES) - 1
    for page in pages:
        loaded = re.findall(r"<(?:link|script|img)[^>]*(?:href|src)=\"?(https?:[^\" >]+)", page.read_text())
        assert loaded == [], f"{page} loads {loaded}"
    for page in (tmp_path / "api").glob("*.html"):
        assert "<blockquote>" not in page.read_text(), f"{page} shows an example as text"
    assert "generate_texts" in (tmp_path / "api/description_gen.html").read_text()


def test_figures_are_drawn_by_the_script_beside_them(tmp_path):
    subprocess.run([sys.executable, ROOT / "docs/figures/draw.py", tmp_path], check=True)
    drawn = sorted(path.name for path in tmp_path.iterdir())
    assert drawn == sorted(path.name for path in (ROOT / "docs/images").glob("method-*.svg"))


def test_links_of_the_readme_and_pictures_are_there_and_small():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)", (ROOT / "README.md").read_text()):
        assert (ROOT / link).exists(), link
    for picture in (ROOT / "docs/images").iterdir():
        assert picture.stat().st_size < 300_000, picture
        if picture.suffix != ".svg":
            Image.open(picture).verify()
