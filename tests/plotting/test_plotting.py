"""Pictures: what they show is what was given, and names of any length, number and script stay legible."""

import itertools
import json
import sys
import warnings

import networkx as nx
import numpy as np
import pytest
from fontTools.fontBuilder import FontBuilder
from fontTools.pens.ttGlyphPen import TTGlyphPen
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from wordsight import plotting as plot
from wordsight.description_gen import label_texts, read_categories
from wordsight.example_photos import load_photos
from wordsight.modeling.grouping import cooccurrence_groups
from wordsight.plotting import figures
from wordsight.plotting.cooccurrence import seen_together
from wordsight.plotting.figures import fitted, make_figure
from wordsight.utils.errors import InvalidInputError, MissingDependencyError

STRANGE = [
    "自転車",
    "قطة",
    "कुत्ता",
    "price in $ or $",
    "$x_1",
    "wine\nglass",
    "a name that is far too long for any figure, or is it",
]


def rendered(figure):
    """The figure as an image; a warning is an error, but for what depends on the fonts of this machine."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", "No font on this machine")
        return drawn(figure)


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return Image.fromarray(np.asarray(canvas.buffer_rgba()))


def boxes(texts, figure):
    renderer = figure.canvas.get_renderer()
    return [text.get_window_extent(renderer) for text in texts]


def assert_legible(axes, names, figure):
    """Each name is there as a tick of its own, inside the figure, and meets no other."""
    labels = [label for label in axes.get_yticklabels() if label.get_text()]
    assert len(labels) == len(names)
    found = boxes(labels, figure)
    for box in found:
        assert box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 and box.y0 >= -1 and box.y1 <= figure.bbox.y1 + 1
    order = sorted(found, key=lambda box: box.y0)
    for lower, upper in itertools.pairwise(order):
        assert upper.y0 >= lower.y0 + 0.8 * min(lower.height, upper.height)


def names_of(count):
    names = [category.name for category in read_categories("coco")][:count]
    return names if count < 80 else [*names[: -len(STRANGE)], *STRANGE]


@pytest.fixture(scope="module")
def photo():
    return load_photos()["chelsea"].convert("RGB")


@pytest.fixture(scope="module")
def labels(photo):
    across = np.tile(np.linspace(0, 255, photo.width), (photo.height, 1)).astype(np.uint8)
    return [
        {"label": "cat", "score": 0.9, "heatmap": Image.fromarray(across)},
        {"label": "dog", "score": 0.2, "heatmap": Image.fromarray(255 - across)},
    ]


def test_overlay(photo):
    heat = Image.new("L", photo.size)
    heat.paste(255, (photo.width // 2, 0, *photo.size))
    laid = plot.overlay(photo, heat)
    assert laid.mode == "RGB" and laid.size == photo.size
    before, after = (np.asarray(image, dtype=int) for image in (photo, laid))
    half = photo.width // 2
    gray = np.asarray(photo.convert("L"), dtype=int)[..., None]
    assert np.abs(after[:, :half] - (before[:, :half] + gray[:, :half]) / 2).max() <= 1
    yellow = np.array([252, 255, 164])  # the end of "inferno"
    expected = 0.7 * yellow + 0.3 * (before + gray) / 2
    assert np.abs(after[:, half:] - expected[:, half:]).max() <= 3


def test_overlay_of_other_sizes(photo):
    assert plot.overlay(photo, Image.new("L", (9, 9), 100)).size == photo.size
    assert plot.overlay(photo.convert("L"), Image.new("L", photo.size)).mode == "RGB"


def test_labels_of_one_photo(photo, labels):
    figure = plot.plot_labels(photo, labels)
    image, bars = figure.axes
    assert [bar.get_width() for bar in bars.patches] == [0.2, 0.9], "the best on top"
    assert [label.get_text() for label in bars.get_yticklabels()] == ["dog", "cat"]
    colors = {bar.get_facecolor() for bar in bars.patches}
    assert len(colors) == 2 and len(image.images) == 1
    rendered(figure)


def test_labels_of_several_photos(photo, labels):
    many = [{"label": name, "score": 0.5} for name in STRANGE]
    figure = plot.plot_labels([photo] * 4, [labels, many, [], labels], STRANGE[:4], top_k=7)
    assert rendered(figure).width == 12 * 100
    assert sum(len(axes.images) for axes in figure.axes) == 4
    (strange,) = [axes for axes in figure.axes if len(axes.patches) == 7]
    assert_legible(strange, STRANGE, figure)


def test_heatmaps(photo, labels):
    tall = photo.resize((100, 300))
    figure = plot.plot_heatmaps([photo, tall], [labels, labels[:1]], ["first.jpg", STRANGE[-1]])
    rendered(figure)
    shown = [axes.images[0].get_array() for axes in figure.axes if axes.images]
    assert len(shown) == 5
    first = shown[1]
    assert first[:, -50:, 0].mean() > first[:, :50, 0].mean() + 50, "the map of the cat is bright at the right"
    titles = [axes.get_title() for axes in figure.axes]
    assert titles[:3] == ["first.jpg", "cat 0.90", "dog 0.20"]
    # Titles lie between the photos, and not on them.
    found = boxes([axes.title for axes in figure.axes if axes.get_title()], figure)
    assert not any(one.overlaps(other) for one, other in itertools.combinations(found, 2))
    one = plot.plot_heatmaps(photo, labels)
    assert len(one.axes) == 3 and rendered(plot.plot_heatmaps(photo, [])).width > 0


def test_photos_and_labels_that_do_not_match(photo, labels):
    with pytest.raises(InvalidInputError, match="2 photos, 1 lists of labels and 2 titles"):
        plot.plot_labels([photo, photo], [labels])
    with pytest.raises(InvalidInputError, match="0 photos"):
        plot.plot_heatmaps([], [])
    with pytest.raises(InvalidInputError, match="output_heatmaps=True"):
        plot.plot_heatmaps(photo, [{"label": "cat", "score": 0.5}])


@pytest.mark.parametrize("epochs", [1, 30])
def test_training_curves(tmp_path, epochs):
    history = [{"epoch": n, "loss": 3 / n, "validation_map": 1 - 0.5 / n} for n in range(1, epochs + 1)]
    (tmp_path / "training_log.json").write_text(json.dumps({"history": history}))
    for log in ({"history": history}, tmp_path, str(tmp_path / "training_log.json")):
        figure = plot.plot_training_curves(log)
        losses, precisions = figure.axes
        assert losses.lines[0].get_ydata() == pytest.approx([3 / n for n in range(1, epochs + 1)])
        assert precisions.lines[0].get_ydata() == pytest.approx([100 - 50 / n for n in range(1, epochs + 1)])
    rendered(figure)


def test_files_that_are_none(tmp_path):
    (tmp_path / "list.json").write_text("[]")
    (tmp_path / "broken.json").write_text("{")
    for name in ("list.json", "broken.json", "gone.json"):
        with pytest.raises(InvalidInputError, match=rf"{name}.*Pass a training_log\.json"):
            plot.plot_training_curves(tmp_path / name)
    with pytest.raises(InvalidInputError, match="has no epochs"):
        plot.plot_training_curves({})
    for report in ({}, {"results": []}, {"model": "x"}, {"held-out sentences": {}}):
        with pytest.raises(InvalidInputError, match="no average precision"):
            plot.plot_average_precision(report)


@pytest.mark.parametrize("count", [3, 80])
def test_average_precision(tmp_path, count):
    names = names_of(count)
    ap = {name: number / count for number, name in enumerate(names)}
    results = [
        {"method": "learned", "score_standardization": "none", "map": 0.5, "ap": ap},
        {"method": "zero-shot", "score_standardization": "none", "map": 0.25, "ap": dict.fromkeys(names[1:], 0.3)},
    ]
    (tmp_path / "r.json").write_text(json.dumps({"model": "m", "results": results}))
    figure = plot.plot_average_precision(tmp_path / "r.json")
    rendered(figure)
    (axes,) = figure.axes
    learned, zero_shot = axes.containers
    assert [bar.get_width() for bar in learned] == pytest.approx([100 * ap[name] for name in names])
    assert [bar.get_width() for bar in zero_shot] == [0.0, *[30.0] * (count - 1)], "absent: no bar"
    assert_legible(axes, names, figure)
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["learned (mAP 50.0)", "zero-shot (mAP 25.0)"]


def test_average_precision_of_a_model_s_folder_and_of_plain_figures(tmp_path):
    entry = {"benchmark": "voc2007", "score_standardization": "none", "map": 0.5, "ap": {"cat": 0.5}}
    (tmp_path / "evaluation.json").write_text(json.dumps({"evaluations": [entry]}))
    for report, name in ((tmp_path, "voc2007 (mAP 50.0)"), ({"mine": {"cat": 0.5}}, "mine")):
        figure = plot.plot_average_precision(report)
        assert figure.legends[0].get_texts()[0].get_text() == name
    options = [entry | {"method": "learned", "score_standardization": option} for option in ("none", "images")]
    texts = plot.plot_average_precision({"results": options}).legends[0].get_texts()
    assert [text.get_text() for text in texts] == ["learned (none, mAP 50.0)", "learned (images, mAP 50.0)"]


def test_average_precision_of_a_thousand_categories():
    ap = {f"category {number}": number / 1000 for number in range(1000)}
    figure = plot.plot_average_precision(dict.fromkeys("abcdefgh", ap))
    ticks = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert len(ticks) == 120 and ticks[0] == "category 0" and ticks[-1] == "category 999"
    assert "880" in figure.axes[0].get_title()
    assert figure.get_figheight() * 100 < 2**16, "what matplotlib can draw"


@pytest.mark.parametrize("count", [1, 3, 80])
def test_dendrogram(count):
    names = names_of(count)
    embeddings = np.random.default_rng(0).normal(size=(count, 8))
    figure = plot.plot_group_dendrogram(names, embeddings, max(1, count // 3))
    rendered(figure)
    (axes,) = figure.axes
    if count > 1:
        assert {label.get_text() for label in axes.get_yticklabels()} == {fitted(name, 30, 1) for name in names}
        assert_legible(axes, names, figure)
        # As many branches cross the cut as there are groups.
        cut = axes.lines[0].get_xdata()[0]
        arms = [path.vertices for lines in axes.collections for path in lines.get_paths()]
        crossing = sum(min(arm[i][0], arm[j][0]) < cut < arm[j][0] for arm in arms for i, j in ((0, 1), (3, 2)))
        assert crossing == count // 3 or count == 3


def test_dendrogram_of_what_does_not_match():
    with pytest.raises(InvalidInputError, match="2 names, 3 embeddings and 1 groups"):
        plot.plot_group_dendrogram(["a", "b"], np.eye(3), 1)
    with pytest.raises(InvalidInputError, match="3 groups"):
        plot.plot_group_dendrogram(["a", "b"], np.eye(2), 3)


def company(names, size=7):
    """A graph of cliques."""
    graph = nx.Graph()
    graph.add_nodes_from(names)
    for start in range(0, len(names), size):
        graph.add_weighted_edges_from((*pair, 1.0) for pair in itertools.combinations(names[start : start + size], 2))
    graph.add_weighted_edges_from((*pair, 0.02) for pair in itertools.combinations(names[::size], 2))
    return graph


@pytest.mark.parametrize("count", [1, 3, 80])
def test_cooccurrence_graph(count):
    names = names_of(count)
    graph = company(names)
    communities = cooccurrence_groups(graph)
    figure = plot.plot_cooccurrence_graph(graph, communities)
    rendered(figure)
    (axes,) = figure.axes
    texts = [text for text in axes.texts if text.get_text()]
    assert {text.get_text() for text in texts} == {fitted(name, 16) for name in names}
    found = boxes(texts, figure)
    pairs = list(itertools.combinations(found, 2))
    assert sum(one.overlaps(other) for one, other in pairs) <= count / 8
    assert all(box.x0 >= -1 and box.x1 <= figure.bbox.x1 + 1 for box in found)
    (nodes,) = [part for part in axes.collections if len(part.get_offsets()) == count and part.get_sizes().size]
    assert len(np.unique(nodes.get_facecolors(), axis=0)) == len(communities)


@pytest.mark.parametrize("count", [1, 3, 80])
def test_cooccurrence_matrix(count):
    names = names_of(count)
    graph = company(names)
    communities = cooccurrence_groups(graph)
    figure = plot.plot_cooccurrence_matrix(graph, communities)
    rendered(figure)
    axes, _ = figure.axes
    order = [name for group in communities for name in group]
    assert [label.get_text() for label in axes.get_yticklabels()] == [fitted(name, 24, 1) for name in order]
    assert_legible(axes, names, figure)
    found = sorted(boxes(axes.get_xticklabels(), figure), key=lambda box: box.x0)
    assert all(box.y1 <= figure.bbox.y1 + 1 and box.x1 <= figure.bbox.x1 + 1 for box in found)
    assert all(left.x1 <= right.x0 + 0.2 * left.width for left, right in itertools.pairwise(found))
    weights = axes.images[0].get_array()
    for row, column in itertools.combinations(range(count), 2):
        expected = graph.get_edge_data(order[row], order[column], {"weight": 0.0})["weight"]
        assert weights[row, column] == weights[column, row] == expected
    assert [patch.get_width() for patch in axes.patches] == [len(group) for group in communities]


def test_texts_are_drawn_by_what_is_in_them():
    texts = label_texts(["A cat and a dog.", "A dog and a cat.", "A cup and a spoon."], ["cat", "cup", "dog", "spoon"])
    graph, communities = seen_together(texts)
    assert communities == [["cat", "dog"], ["cup", "spoon"]]
    assert {frozenset(edge) for edge in graph.edges} == {frozenset(group) for group in communities}
    assert graph.edges["dog", "cat"]["weight"] == pytest.approx(1.0)
    figure = plot.plot_texts(texts)
    rendered(figure)
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["cat", "dog", "cup", "spoon"]
    assert figure.axes[1].get_title() == "Communities seen together: 2"
    apart, groups = seen_together(label_texts(["A cat.", "A dog."], ["cat", "dog"]))
    assert not apart.edges and groups == [["cat", "dog"]]
    rendered(plot.plot_texts(label_texts(["A cat."], ["cat"])))


def test_groups_stand_side_by_side():
    names = names_of(3)
    figure = plot.plot_groups(names, np.eye(3), 2, company(names), [names])
    rendered(figure)
    assert [axes.get_title() for axes in figure.axes] == ["Groups that look alike: 2", "Communities seen together: 1"]


def test_characters_are_taken_from_a_font_that_has_them():
    """One that matplotlib's own font lacks, but another font on this machine has."""
    from matplotlib.font_manager import findfont, fontManager
    from matplotlib.ft2font import FT2Font

    own = set(FT2Font(findfont("DejaVu Sans")).get_charmap())
    fonts = [entry for entry in fontManager.ttflist if not entry.name.startswith("Last Resort")]
    others = {entry.name: set(FT2Font(entry.fname).get_charmap()) for entry in fonts}
    character = next(chr(code) for codes in others.values() for code in sorted(codes - own) if chr(code).isprintable())
    figure = make_figure(2, 2)
    text = figure.text(0.5, 0.5, f"a{character}")
    rendered(figure)
    families = text.get_fontfamily()
    assert families[0] == "DejaVu Sans" and any(ord(character) in others[name] for name in families[1:])


def test_missing_characters_are_said_once_with_what_to_install():
    private = "".join(map(chr, range(0xE500, 0xE520)))  # of no script
    with pytest.warns(UserWarning) as said:
        for _ in range(2):
            figure = make_figure(2, 2)
            figure.text(0.5, 0.7, private)
            figure.text(0.5, 0.3, private)
            drawn(figure)
    assert len(said) == 1 and "apt install fonts-noto-cjk" in str(said[0].message)


def test_a_font_that_has_chinese_is_found_and_used(tmp_path, monkeypatch):
    """Installed after matplotlib wrote its list of fonts, and beside the font of boxes that matplotlib brings."""
    from matplotlib import font_manager

    path = tmp_path / "chinese.ttf"
    save_font(path, "Made For Tests", "猫狗")
    system = font_manager.findSystemFonts
    monkeypatch.setattr(font_manager, "findSystemFonts", lambda *given, **named: [*system(*given, **named), str(path)])
    monkeypatch.setattr(font_manager.fontManager, "ttflist", [*font_manager.fontManager.ttflist])
    for remembered in (figures._find_new_fonts, figures._families):
        remembered.cache_clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        figure = make_figure(2, 2)
        text = figure.text(0.1, 0.5, "猫 cat 狗")
        picture = np.asarray(drawn(figure).convert("L"))
        assert text.get_fontfamily() == ["DejaVu Sans", "Made For Tests"]
        text.set_text("鸟 cat 鸟")
        with pytest.raises(UserWarning, match="No font on this machine has 鸟: pictures show boxes for it"):
            drawn(figure)
    black = (picture < 10).sum(axis=0)
    assert black[black >= 7].sum() > 2 * 8 * 7, "two black squares"
    figures._families.cache_clear()


def save_font(path, family, characters):
    """Saves a font whose letters are all black squares."""
    pen = TTGlyphPen(None)
    pen.moveTo((0, 0))
    for corner in ((0, 700), (700, 700), (700, 0)):
        pen.lineTo(corner)
    pen.closePath()
    square = pen.glyph()
    names = [".notdef", *(f"uni{ord(c):04X}" for c in characters)]
    builder = FontBuilder(1000, isTTF=True)
    builder.setupGlyphOrder(names)
    builder.setupCharacterMap({ord(c): name for c, name in zip(characters, names[1:], strict=True)})
    builder.setupGlyf(dict.fromkeys(names, square))
    builder.setupHorizontalMetrics(dict.fromkeys(names, (800, 0)))
    builder.setupHorizontalHeader(ascent=800, descent=-200)
    builder.setupNameTable({"familyName": family, "styleName": "Regular"})
    builder.setupOS2()
    builder.setupPost()
    builder.save(path)


def test_without_matplotlib(monkeypatch, photo, labels):
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)
    for draw in (
        lambda: plot.overlay(photo, labels[0]["heatmap"]),
        lambda: plot.plot_labels(photo, labels),
        lambda: plot.plot_training_curves({"history": [{"epoch": 1, "loss": 1, "validation_map": 1}]}),
    ):
        with pytest.raises(MissingDependencyError, match=r"pip install 'wordsight\[plot\]'"):
            draw()
