"""Checkpoints that must not be used, or not as they are: the error names what is wrong."""

import json
import pickle
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from safetensors.torch import load_file, save_file
from transformers import AutoConfig, AutoModel

from wordsight import WordsightConfig, WordsightForMultiLabelImageClassification
from wordsight.modeling.configuration_wordsight import FORMAT_VERSION
from wordsight.modeling.encoders import load_image_encoder, load_text_encoder
from wordsight.utils.errors import InvalidInputError
from wordsight.version import __version__

OLD = Path(__file__).parents[1] / "data" / "checkpoint-format-1"
# What wordsight 0.1.0 made of `grid()` with the checkpoint that it wrote.
OLD_LOGITS = [-0.5543605089187622, -0.7360996007919312, -0.21765993535518646, -0.13741125166416168]


def grid():
    return torch.linspace(-1, 1, 3 * 64 * 64).view(1, 3, 64, 64)


@pytest.fixture
def folder(tmp_path):
    return Path(shutil.copytree(OLD, tmp_path / "model"))


def change_config(folder, **entries):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def change_tensors(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


def load(source, **kwargs):
    return WordsightForMultiLabelImageClassification.from_pretrained(source, **kwargs)


def test_older_format_loads_and_is_saved_in_this_one(folder, tmp_path):
    assert "format_version" not in json.loads((folder / "config.json").read_text())
    model = AutoModel.from_pretrained(folder)
    with torch.no_grad():
        torch.testing.assert_close(model(grid()).similarities[0], torch.tensor(OLD_LOGITS), rtol=1e-4, atol=1e-5)
    model.save_pretrained(tmp_path / "new")
    saved = json.loads((tmp_path / "new" / "config.json").read_text())
    assert saved["format_version"] == FORMAT_VERSION and saved["wordsight_version"] == __version__
    assert not {"custom_pipelines", "auto_map"} & set(saved), "a local folder has no code to point to"


@pytest.mark.parametrize("read", [AutoConfig.from_pretrained, WordsightConfig.from_pretrained, load])
def test_newer_format_names_the_version_that_reads_it(folder, read):
    change_config(folder, format_version=FORMAT_VERSION + 1, wordsight_version="9.1.0", local_weight={"new": "kind"})
    with pytest.raises(InvalidInputError, match=rf"format {FORMAT_VERSION + 1}.*needs wordsight 9.1.0 or newer: pip"):
        read(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("global_embeddings"), "do not fit its config: global_embeddings are missing"),
        (lambda t: t.update(extra=torch.zeros(2)), "do not fit its config: extra are not known"),
        (
            lambda t: t.update(global_embeddings=torch.zeros(3, 256)),
            r"global_embeddings \(\[3, 256\], not \[4, 256\]\) have another shape",
        ),
        (lambda t: t["local_embeddings"].fill_(torch.inf), "values that are not finite: local_embeddings"),
    ],
    ids=["missing", "unknown", "shape", "infinite"],
)
def test_tensors_that_do_not_fit(folder, change, message):
    change_tensors(folder, change)
    with pytest.raises(InvalidInputError, match=message):
        load(folder)


def test_more_categories_than_tensors(folder):
    groups = [["cat", "dog", "car", "cup", "hat"]]
    change_config(
        folder,
        id2label={str(i): name for i, name in enumerate(groups[0])},
        attribute_groups=groups,
        cooccurrence_groups=groups,
        score_scale=[1.0] * 5,
        score_threshold=[0.0] * 5,
    )
    with pytest.raises(InvalidInputError, match="have another shape"):
        load(folder)


class Bomb:
    """Says that it was opened."""

    def __init__(self, trace):
        self.trace = str(trace)

    def __reduce__(self):
        return Path.touch, (Path(self.trace),)


def test_pickles_are_not_opened(folder, tmp_path, hub):
    trace = tmp_path / "opened"
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(trace)))
    with pytest.raises(InvalidInputError, match=r"no model.safetensors. It has pytorch_model.bin, which is not opened"):
        load(folder)
    with pytest.raises(InvalidInputError, match="wordsight opens no pickles"):
        load(folder, use_safetensors=False)
    api = HfApi(token=hub.tokens["write"])
    api.create_repo("alice/pickled")
    for name in ("config.json", "pytorch_model.bin"):
        api.upload_file(repo_id="alice/pickled", path_or_fileobj=folder / name, path_in_repo=name)
    hub.requests.clear()
    with pytest.raises(InvalidInputError, match=r"alice/pickled holds no model.safetensors"):
        AutoModel.from_pretrained("alice/pickled")
    assert not any("pytorch_model" in record.path for record in hub.requests), "it was not even fetched"
    assert not trace.exists()


@pytest.mark.parametrize("encoder", ["/etc/encoder", "../encoder", "./../../x", "~/encoder", "C:\\encoder", "a/b/c"])
def test_encoder_by_a_path_is_refused_from_the_hub(folder, hub, encoder):
    change_config(folder, encoder=encoder)
    api = HfApi(token=hub.tokens["write"])
    repo = f"alice/path-{abs(hash(encoder))}"
    api.create_repo(repo)
    for name in ("config.json", "model.safetensors"):
        api.upload_file(repo_id=repo, path_or_fileobj=folder / name, path_in_repo=name)
    with pytest.raises(InvalidInputError, match="names its encoder by a path outside the repository"):
        load(repo)


def test_encoder_by_a_path_in_a_folder(folder, tiny_clip_dir):
    change_config(folder, encoder="../../etc")
    with pytest.raises(InvalidInputError, match=r"by a path outside of it: '../../etc'"):
        load(folder)
    shutil.copytree(tiny_clip_dir, folder / "encoder")
    change_config(folder, encoder="./encoder")
    assert load(folder).image_encoder.model.config.model_type == "clip"


def test_an_encoders_own_code_is_never_run(tiny_clip_dir, tmp_path):
    """Nor is the reader asked: transformers has a tokenizer of its own for CLIP, and no such image processor."""
    encoder, trace = tmp_path / "encoder", tmp_path / "ran"
    shutil.copytree(tiny_clip_dir, encoder)
    (encoder / "evil.py").write_text(f"open({str(trace)!r}, 'w')\nclass Evil: pass\n")
    for name, key in (("preprocessor_config.json", "AutoImageProcessor"), ("tokenizer_config.json", "AutoTokenizer")):
        content = json.loads((encoder / name).read_text())
        content["auto_map"] = {key: "evil.Evil" if "image" in key.lower() else ["evil.Evil", None]}
        content |= {"image_processor_type": "Evil", "tokenizer_class": "Evil"}
        (encoder / name).write_text(json.dumps(content))
    with pytest.raises(InvalidInputError, match="wants to run code of its own"):
        load_image_encoder(str(encoder))
    assert type(load_text_encoder(str(encoder)).tokenizer).__module__.startswith("transformers.")
    assert not trace.exists()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n", "is a pointer of Git LFS"),
        (None, "are damaged or cut off"),
        (b"", "are damaged or cut off"),
        (b"<html>404</html>", "are damaged or cut off"),
    ],
)
def test_what_is_no_whole_safetensors(content, said, folder, tiny_clip_dir, tmp_path):
    """Of the model, and of either half of its encoder; None cuts the file in two."""
    encoder = Path(shutil.copytree(tiny_clip_dir, tmp_path / "encoder"))
    for source, loading in ((folder, load), (encoder, load_image_encoder), (encoder, load_text_encoder)):
        path = source / "model.safetensors"
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content is None else content)
        with pytest.raises(InvalidInputError, match=said) as error:
            loading(str(source))
        assert str(source) in str(error.value) and "\n" not in str(error.value)
        path.write_bytes(whole)
