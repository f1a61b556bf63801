"""`python -m benchmarks.first_photo ours|peer FOLDER`: loads a model and labels a first photo, as a user would."""

import json
import sys
import time

START = time.perf_counter()


def main() -> None:
    """Prints seconds since the interpreter came here (before any import that takes time), and peak memory."""
    kind, folder = sys.argv[1:]
    from transformers import pipeline

    if kind == "ours":
        import wordsight  # noqa: F401

        labeler, options = pipeline("multi-label-image-classification", model=folder), {}
        assert not any("text" in name for name, _ in labeler.model.image_encoder.named_parameters())
    else:
        labels = [f"label {number}" for number in range(80)]
        labeler, options = pipeline("zero-shot-image-classification", model=folder), {"candidate_labels": labels}
    from PIL import Image

    labeler(Image.new("RGB", (640, 427), "green"), **options)
    seconds = time.perf_counter() - START
    from benchmarks.measure import peak_memory

    print(json.dumps({"seconds": seconds, "peak_bytes": peak_memory()}))


main()
