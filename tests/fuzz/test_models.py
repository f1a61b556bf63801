"""Models' folders from strangers: refused in a line, or loaded; no file outside is opened, no code of theirs runs."""

import json
import shutil

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from tests.modeling.test_modeling import make_model
from wordsight import WordsightForMultiLabelImageClassification
from wordsight.hub.folder import write_card_and_pictures
from wordsight.modeling.loading import load_model
from wordsight.utils.errors import InvalidInputError

from .strategies import INJECTIONS, MINUTES, damaged_bytes, damaged_json, tried

NOT_OURS = "raise SystemExit('code of the folder ran')"


@pytest.fixture(scope="module")
def whole(tmp_path_factory, tiny_clip_dir):
    folder = tmp_path_factory.mktemp("models") / "whole"
    make_model(str(tiny_clip_dir)).save_pretrained(folder)
    for name in ("configuration_wordsight.py", "modeling_wordsight.py", "pipeline_wordsight.py", "evil.py"):
        (folder / name).write_text(NOT_OURS)
    return folder


@pytest.fixture(scope="module")
def config(whole):
    return json.loads((whole / "config.json").read_text())


def load(whole, changed, name="config.json"):
    """The model with a file changed; None where a line says why not."""
    folder = whole.with_name("changed")
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    (folder / name).write_bytes(changed if isinstance(changed, bytes) else json.dumps(changed).encode())
    try:
        return load_model(str(folder))
    except InvalidInputError as error:
        assert "\n" not in str(error)
        return None


ODD_FIELDS = [
    {"auto_map": {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}},
    {"auto_map": {"AutoModel": "mallory/evil--evil.Model"}},
    {"custom_pipelines": {"multi-label-image-classification": {"impl": "evil.Pipeline", "pt": ["evil.Model"]}}},
    {"encoder": "../../../../etc"},
    {"encoder": "../encoders/tiny-clip"},
    {"encoder": "hf-hub:../../x"},
    {"encoder": ""},
    {"encoder": "."},
    {"_name_or_path": "/etc", "architectures": ["evil.Model"]},
    {"transformers_version": "99", "quantization_config": {"quant_method": "evil"}},
    {"dtype": "evil"},
]


@pytest.mark.parametrize("fields", ODD_FIELDS)
def test_odd_fields_run_no_code_and_lead_nowhere(whole, config, fields):
    model = load(whole, config | fields)
    assert model is None or type(model) is WordsightForMultiLabelImageClassification
    if str(fields.get("encoder", "")).startswith((".", "hf")) or fields.get("encoder") == "":
        assert model is None


@tried
@given(data=st.data())
def test_configs_with_other_values(whole, config, data):
    model = load(whole, data.draw(damaged_json(config)))
    assert model is None or len(model.config.category_names) > 0


@tried
@given(data=st.data())
def test_weights_and_processors_with_other_bytes(whole, data):
    name = data.draw(st.sampled_from(["model.safetensors", "preprocessor_config.json", "config.json"]))
    load(whole, data.draw(damaged_bytes((whole / name).read_bytes()[:2000])), name)


@settings(tried, max_examples=100 if MINUTES else 4)
@given(st.sampled_from(INJECTIONS), st.sampled_from(INJECTIONS))
@example("<script>alert(1)</script>", "<!-- wordsight:end -->")
def test_names_are_no_markup_in_a_card(whole, config, name, synonym):
    first = config["id2label"]["0"]
    text = json.dumps(config).replace(json.dumps(first), json.dumps(name))
    model = load(whole, json.loads(text) | {"synonyms": {name: [synonym]}})
    if model is None:
        return
    folder = whole.with_name("changed")
    (folder / "README.md").unlink(missing_ok=True)
    card = write_card_and_pictures(folder).read_text()
    written = card.split("---", 2)[2]
    for markup in ("<script", "<img", "](javascript", "](http://127"):
        assert markup not in written.replace("\\](", "")
    assert written.count("<!-- wordsight:end -->") == written.count("<!-- wordsight:begin")
    assert write_card_and_pictures(folder).read_text() == card, "a card is its own fixed point"
