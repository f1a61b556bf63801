"""What a repository on GitHub has: its files parse, agree with each other, and name files that are there."""

import re
import tomllib
from pathlib import Path

import pytest
import yaml

from wordsight import __version__

ROOT = Path(__file__).parents[1]
# Not those of mkdocs, whose pages its own strict build checks.
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", ".github/pull_request_template.md")]
FOLDERS = [path.name for path in ROOT.iterdir() if (path / "__init__.py").is_file()]
FOLDERS += [".ci", ".github", "ablations", "docs", "examples", "requirements"]
CITED = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, FOLDERS))})/[\w./-]*\w")
FORMS = [path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.name != "config.yml"]


def load(path):
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def test_the_workflow_tests_what_pyproject_promises():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    promised = {entry.rpartition(" ")[2] for entry in project["classifiers"] if "Python :: 3." in entry}
    jobs = load(ROOT / ".github" / "workflows" / "ci.yml")["jobs"]
    assert set(jobs["linux"]["strategy"]["matrix"]["python"]) == promised
    assert any(step.get("run") == ".ci/run" for step in jobs["linux"]["steps"])
    assert (ROOT / ".ci" / "run").stat().st_mode & 0o111
    (command,) = (step["run"] for step in jobs["macos"]["steps"] if step.get("name") == "Tests")
    tests = [word for word in command.split() if word.startswith("tests/")]
    assert tests and all((ROOT / test).is_file() for test in tests)


@pytest.mark.parametrize("form", FORMS, ids=lambda path: path.name)
def test_issue_forms(form):
    content = load(form)
    assert {"name", "description", "body"} <= content.keys()
    assert all(block["attributes"]["label"] for block in content["body"])


def test_citation_and_changelog_agree_with_the_version():
    citation = load(ROOT / "CITATION.cff")
    assert {"cff-version", "message", "title", "authors"} <= citation.keys()
    newest = re.search(r"^## \[(.+?)\]", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert citation["version"] == newest[1] == __version__
    assert any("2403.01209" in reference.get("url", "") for reference in citation["references"])


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_links_name_files_that_are_there(page):
    targets = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [target for target in targets if not (page.parent / target).exists()] == []


def texts_of_the_repository():
    """Path -> content of all that a person may read, but for what earlier versions wrote."""
    folders = [path for name in FOLDERS for path in (ROOT / name).rglob("*") if ROOT / "tests/data" not in path.parents]
    for path in [*folders, *ROOT.iterdir()]:
        if path.name == "Makefile" or path.suffix in {".ipynb", ".md", ".py", ".sh", ".toml", ".txt", ".yaml", ".yml"}:
            yield path, path.read_text(encoding="utf-8")


def test_nothing_cites_a_file_that_the_repository_lacks():
    texts = dict(texts_of_the_repository())
    cited = {(path, found) for path, text in texts.items() for found in CITED.findall(text)}
    assert len(texts) > 200 and len(cited) > 50
    assert [f"{path}: {found}" for path, found in sorted(cited) if not (ROOT / found).exists()] == []
    # Pages for those who build this, which are elsewhere.
    elsewhere = [f"{name}.md" for name in ("METHOD", "DESIGN", "STYLE")]
    assert [f"{path}: {name}" for path, text in texts.items() for name in elsewhere if name in text] == []


def test_pre_commit_runs_what_make_quality_runs():
    hooks = {hook["id"]: hook for repo in load(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]}
    assert {"ruff-check", "ruff-format"} <= hooks.keys()
    assert hooks["types-and-imports"]["entry"] in (ROOT / "Makefile").read_text(encoding="utf-8")
