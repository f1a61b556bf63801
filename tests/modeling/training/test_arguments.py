"""Arguments are checked before any work: each of these fails at once, before PyTorch is imported."""

import pytest

from wordsight.cli.main import app
from wordsight.utils.errors import InvalidInputError

CASES = [
    ("ablate {dir}/none.yaml --out {dir}/out", "There is no file '{dir}/none.yaml'"),
    ("ablate {file} --out {file}", "{file} is a file, and --out needs a folder"),
    ("accelerate-config gpu-9", "There is no configuration 'gpu-9'"),
    ("calibrate {dir} {dir}/photos", "There is no photo or folder '{dir}/photos'"),
    ("calibrate {dir} {dir} --use mean", "--use mean is not known. Pass one of none, images, categories, sparc"),
    ("calibrate {dir} {dir} --out {file}", "{file} is a file, and --out needs a folder"),
    ("demo --out {file}/out", "{file} is a file: {file}/out can't be made in it"),
    ("describe --categories coco --out {file}", "{file} is a file, and --out needs a folder"),
    ("evaluate {dir} --data {dir} --methods all", "needs sentences"),
    ("evaluate {dir} --data {dir} --methods best", "No method 'best'"),
    ("evaluate {dir} --data {dir} --scores best", "No score standardization 'best'"),
    ("evaluate {dir} --data {dir} --format zip", "The format 'zip' is not known"),
    ("evaluate {dir} --data {dir}/none", "there is no {dir}/none"),
    ("evaluate {dir} --data {dir} --json {dir}", "{dir} is a folder, and --json needs a file"),
    ("evaluate {dir} --data {dir} --plots {file}", "{file} is a file, and --plots needs a folder"),
    ("extend {dir} {dir} --out {dir}/out", "There is no model '{dir}/config.json'"),
    ("groups {dir}/none", "There is no folder '{dir}/none'"),
    ("groups {dir} --out {dir}", "{dir} is a folder, and --out needs a file"),
    ("groups {dir} --picture {dir}", "{dir} is a folder, and --picture needs a file"),
    ("predict {dir} a.jpg --heatmaps {file}", "{file} is a file, and --heatmaps needs a folder"),
    ("predict {dir} a.jpg --out {dir}", "pass --shards, --format or --ray"),
    ("predict {dir} {dir} --shards 2", "pass --out DIR"),
    ("predict {dir} {dir} --shards 2 --out {file}", "{file} is a file, and --out needs a folder"),
    ("push {dir}", "{dir}"),
    ("train {dir}/none --out {dir}/out", "There are no texts '{dir}/none'"),
    ("train {dir} --out {file}", "{file} is a file, and --out needs a folder"),
    ("train {dir} --out {dir}/out --groups {dir}/none", "There is no file of groups '{dir}/none'"),
]


@pytest.mark.parametrize(("line", "message"), CASES, ids=[line for line, _ in CASES])
def test_bad_arguments_are_told_before_any_work(line, message, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.touch()
    names = {"dir": tmp_path, "file": file}
    monkeypatch.setattr("wordsight.utils.progress.import_module", lambda name: pytest.fail(f"{name} is imported"))
    with pytest.raises(InvalidInputError) as error:
        app([part.format(**names) for part in line.split()], standalone_mode=False)
    assert message.format(**names) in str(error.value)
    assert [*tmp_path.iterdir()] == [file]
