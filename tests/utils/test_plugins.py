"""Entry points of the group "wordsight": what lower packages call of higher ones."""

from wordsight.hub.folder import write_card_and_pictures
from wordsight.hub.push import push_model
from wordsight.hub.remote_code import add_remote_code
from wordsight.hub.side_files import fetch_side_files
from wordsight.utils.plugins import load_plugin


def test_functions_by_their_names():
    assert load_plugin("write_card") is write_card_and_pictures
    assert load_plugin("push_model") is push_model
    assert load_plugin("fetch_side_files") is fetch_side_files
    assert load_plugin("write_code") is add_remote_code
    assert load_plugin("nothing") is None


def test_what_an_older_version_left_in_a_clone_hides_nothing(tmp_path, monkeypatch):
    egg_info = tmp_path / "wordsight.egg-info"
    egg_info.mkdir()
    (egg_info / "PKG-INFO").write_text("Metadata-Version: 2.1\nName: wordsight\nVersion: 0.1.0\n")
    (egg_info / "entry_points.txt").write_text("[console_scripts]\nwordsight = wordsight.cli:run\n")
    monkeypatch.syspath_prepend(tmp_path)
    assert load_plugin("write_card") is write_card_and_pictures
