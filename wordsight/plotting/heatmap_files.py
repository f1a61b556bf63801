"""`wordsight predict --heatmaps`: where labels are in photos, as picture files."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from wordsight.utils.errors import writing

from .figures import make_figure
from .labels import SHOWN_SIDE, plot_heatmaps
from .overlay import overlay

if TYPE_CHECKING:
    from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline

OVERLAY_SIDE = 1600  # pixels; a heat map has some hundred patches
PHOTOS_A_SHEET = 30
LABELS_A_ROW = 6  # of the sheet, the best; each has its file
NAME_BYTES = 80  # file systems take 255 for number, photo, rank and label
AGAIN = "run the same command again"


class HeatmapFiles:
    """Labels photos and writes each label's heat map over its photo, then all of them on one contact sheet.

    Files are called NUMBER-PHOTO-RANK-LABEL.jpg, so that neither photos nor labels of the same name meet. Contact
    sheets hold 30 photos each: contact-sheet.png, and contact-sheet-2.png and so on where there are more.

    Args:
        folder: for the files; created if it does not exist.

    Raises:
        MissingDependencyError: matplotlib is not installed.
        WordsightError: the folder can't be made.
    """

    def __init__(self, folder: Path) -> None:
        make_figure(1, 1)  # before the work, not after it
        with writing(folder, AGAIN):
            folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.sheets: list[Path] = []
        self._number = 0
        self._rows: list[tuple[Image.Image, list[dict[str, Any]], str]] = []

    def label(
        self, classifier: MultiLabelImageClassificationPipeline, image: str, **options: Any
    ) -> list[dict[str, Any]]:
        """Labels of one photo; "heatmap" is the path of each one's file.

        Args:
            classifier: the pipeline.
            image: path or URL.
            options: the pipeline's.

        Raises:
            InvalidInputError: the photo can't be read.
            WordsightError: a file can't be written.
        """
        from wordsight.pipelines.image_io import open_input

        self._number += 1
        photo = open_input(image)
        labels = classifier(photo, output_heatmaps=True, **options)
        photo.thumbnail((OVERLAY_SIDE, OVERLAY_SIDE))
        small = photo.copy()
        small.thumbnail((SHOWN_SIDE, SHOWN_SIDE))
        shown, written = [], []
        for rank, entry in enumerate(labels, start=1):
            path = self.folder / f"{self._number:03d}-{_safe(Path(image).stem)}-{rank}-{_safe(entry['label'])}.jpg"
            with writing(path, AGAIN):
                overlay(photo, entry["heatmap"]).save(path, quality=90)
            written.append(entry | {"heatmap": str(path)})
            # For the sheet; 30 photos with maps of their own size would fill the memory.
            shown.append(entry | {"heatmap": entry["heatmap"].resize(small.size, Image.Resampling.BILINEAR)})
        self._rows.append((small, shown[:LABELS_A_ROW], Path(image).name))
        if len(self._rows) == PHOTOS_A_SHEET:
            self.finish()
        return written

    def finish(self) -> None:
        """Writes the contact sheet of the photos that are on none yet."""
        if not self._rows:
            return
        number = len(self.sheets) + 1
        path = self.folder / ("contact-sheet.png" if number == 1 else f"contact-sheet-{number}.png")
        photos, labels, titles = map(list, zip(*self._rows, strict=True))
        with writing(path, AGAIN):
            plot_heatmaps(photos, labels, titles).savefig(path, dpi=100)
        self.sheets.append(path)
        self._rows = []


def _safe(name: str) -> str:
    """A part of a file name: letters and digits of any script, all else as hyphens."""
    kept = [c if c.isalnum() or unicodedata.category(c)[0] == "M" else " " for c in unicodedata.normalize("NFC", name)]
    return "-".join("".join(kept).split()).encode()[:NAME_BYTES].decode(errors="ignore") or "unnamed"
