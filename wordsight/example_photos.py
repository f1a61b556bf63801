"""Photos to try wordsight with: those that scikit-image and scikit-learn ship."""

from __future__ import annotations

from PIL import Image

from wordsight.utils.cache import building, cache_dir
from wordsight.utils.errors import MissingDependencyError

SIDE = 640  # pixels on the longer side of a file


def load_photos() -> dict[str, Image.Image]:
    """The six photos, by name.

    Raises:
        MissingDependencyError: scikit-image is not installed.
    """
    try:
        from skimage import data
    except ImportError as error:
        raise MissingDependencyError(
            "The example photos come with scikit-image. Run `pip install 'wordsight[demo]'`."
        ) from error
    from sklearn.datasets import load_sample_image

    arrays = {name: getattr(data, name)() for name in ("chelsea", "astronaut", "coffee", "rocket")}
    arrays |= {name: load_sample_image(f"{name}.jpg") for name in ("china", "flower")}
    return {name: Image.fromarray(array) for name, array in arrays.items()}


def example_photos() -> list[str]:
    """Paths of the photos as JPEG files, in wordsight's cache; none where scikit-image is not installed."""
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
