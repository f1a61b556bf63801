"""Category lists as people and tools have them."""

import json
import unicodedata

import pytest

from wordsight.description_gen import Category, read_categories
from wordsight.utils.errors import InvalidInputError

CAT, DOG, GLASS = Category("cat", ("kitten",)), Category("dog"), Category("wine glass")
NAMES = ["cat", "dog", "wine glass"]
PLAIN = [Category("cat"), DOG, GLASS]


def read(tmp_path, text, name="categories.txt"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_categories(path, known_synonyms=False)


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cat\ndog\nwine glass\n", "classes.txt"),
        ("cat\r\ndog\r\nwine glass", "classes.txt"),
        ("name\ncat\ndog\nwine glass", "labels.txt"),
        ("1. cat\n2. dog\n3. wine glass", "a.txt"),
        ("0: cat\n1: dog\n2: wine glass", "a.txt"),
        ("0\tcat\n1\tdog\n2\twine glass", "a.txt"),
        ("- cat\n- dog\n- wine glass", "a.txt"),
        ("\u2022 cat\n\u2022 dog\n\u2022 wine glass", "a.txt"),
        ('"cat",\n"dog",\n"wine glass"\n', "a.txt"),
        ("id,name\n1,cat\n2,dog\n3,wine glass", "a.csv"),
        ("0,cat\n1,dog\n2,wine glass", "a.csv"),
        ("id;name\n1;cat\n2;dog\n3;wine glass", "a.csv"),
        ("id\tlabel\n1\tcat\n2\tdog\n3\twine glass", "a.tsv"),
        (json.dumps(["cat", "dog", "wine glass"]), "a.json"),
        (json.dumps(["cat", "dog", "wine glass"]), "a.txt"),
        (json.dumps({"0": "cat", "2": "wine glass", "1": "dog"}), "id2label.json"),
        (json.dumps({"cat": 0, "wine glass": 2, "dog": 1}), "label2id.json"),
        (
            json.dumps({"images": [], "categories": [{"id": 1, "name": n} for n in ("cat", "dog", "wine glass")]}),
            "a.json",
        ),
        ("- cat\n- dog\n- wine glass\n", "a.yaml"),
        ("path: ../data\nnc: 3\nnames: [cat, dog, wine glass]\n", "data.yaml"),
        ("train: images\nnames:\n  0: cat\n  1: dog\n  2: wine glass\n", "data.yml"),
        (
            '<View><Image name="i" value="$image"/><Choices name="c" toName="i"><Choice value="cat"/>'
            '<Choice value="dog"/><Choice value="wine glass"/></Choices></View>',
            "config.xml",
        ),
    ],
)
def test_lists_of_names(text, name, tmp_path):
    assert read(tmp_path, text, name) == PLAIN


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("cat, kitten\ndog\nwine glass", "a.txt"),
        ("cat\tkitten\ndog\nwine glass", "a.txt"),
        ("cat; kitten\ndog\nwine glass", "a.txt"),
        ("cat\uff1bkitten\ndog\nwine glass", "a.txt"),
        ("cat\u3001kitten\ndog\nwine glass", "a.txt"),
        ('name,synonyms\ncat,"kitten"\ndog,\nwine glass,', "a.csv"),
        ("cat,kitten\ndog\nwine glass", "a.csv"),
        (json.dumps([{"name": "cat", "synonyms": ["kitten"]}, "dog", "wine glass"]), "a.json"),
    ],
)
def test_synonyms(text, name, tmp_path):
    assert read(tmp_path, text, name) == [CAT, DOG, GLASS]


def test_quoted_cells_hold_commas_and_descriptions_stay(tmp_path):
    assert read(tmp_path, json.dumps([{"name": "crane", "description": "the bird"}]), "a.json") == [
        Category("crane", (), "the bird")
    ]
    assert read(tmp_path, "1. crane, cranes: the bird\n2. dog") == [Category("crane", ("cranes",), "the bird"), DOG]


@pytest.mark.parametrize("text", ["7up\n3d printer", "1. FC\nSchalke 04", "1:30", "12:30, half past", "0: cat\n5: dog"])
def test_what_is_no_number_of_a_list_stays(text, tmp_path):
    assert read(tmp_path, text)[0] == Category.parse(text.split("\n")[0])


def test_letters_with_accents_are_one_character(tmp_path):
    assert read(tmp_path, unicodedata.normalize("NFD", "caf\u00e9\ndog"))[0].name == "caf\u00e9"
    with pytest.raises(InvalidInputError, match="given twice"):
        read(tmp_path, "caf\u00e9\n" + unicodedata.normalize("NFD", "caf\u00e9"))


@pytest.mark.parametrize(
    ("text", "name", "said"),
    [
        ("cat; dog; cup", "a.txt", r"line 1: 'cat; dog; cup' looks like 3 categories. Put one category on each line"),
        ("cat\tdog\tcup\n", "a.txt", "looks like 3 categories"),
        ('["cat", "dog"', "a.json", "is no valid JSON"),
        ("names: [cat", "a.yaml", "is no valid YAML"),
        ("<View><Choice", "a.xml", "is no valid XML"),
        ("<View><Text name='a'/></View>", "a.xml", "holds no <Label> or <Choice>"),
        ('{"a": {"b": 1}}', "a.json", "holds no list of names, but a"),
        ("[1, 2]", "a.json", "entry 1: 1 is no name"),
        ("7", "a.yaml", "holds no list of names, but 7"),
        ("- cat\n- dog: 1\n", "a.yaml", "entry 2: {'dog': 1} is no name"),
    ],
)
def test_what_is_not_certain_is_refused(text, name, said, tmp_path):
    with pytest.raises(InvalidInputError, match=said) as error:
        read(tmp_path, text, name)
    assert name in str(error.value) and "\n" not in str(error.value)
