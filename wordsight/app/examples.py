"""Photos to try the app with: those that scikit-image and scikit-learn ship."""

from __future__ import annotations

from wordsight.demo import load_photos
from wordsight.utils.cache import building, cache_dir
from wordsight.utils.errors import MissingDependencyError

SIDE = 640  # pixels on the longer side


def example_photos() -> list[str]:
    """Paths of stock photos as JPEG files, in wordsight's cache; none where scikit-image is not installed."""
    folder = cache_dir() / "examples"
    if not folder.is_dir():
        try:
            photos = load_photos()
        except MissingDependencyError:
            return []
        with building(folder) as partial:
            for name, photo in photos.items():
                photo.thumbnail((SIDE, SIDE))
                photo.save(partial / f"{name}.jpg", quality=90)
    return sorted(str(path) for path in folder.glob("*.jpg"))
