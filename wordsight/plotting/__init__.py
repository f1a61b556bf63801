"""Pictures of what a model sees, how it was trained, how good it is, and how its categories go together.

Each function takes plain data and gives a `matplotlib.figure.Figure` (`overlay`: an image); none needs a display:

    >>> from PIL import Image
    >>> from transformers import pipeline
    >>> from wordsight.plotting import plot_heatmaps
    >>> classifier = pipeline("multi-label-image-classification", model="my-model")
    >>> photo = Image.open("photos/coffee.jpg")
    >>> labels = classifier(photo, top_k=3, output_heatmaps=True)
    >>> plot_heatmaps(photo, labels).savefig("heatmaps.png")

All of them raise `MissingDependencyError` where matplotlib is not installed: `pip install 'wordsight[plot]'`.
"""

from .cooccurrence import plot_cooccurrence_matrix, plot_texts
from .groups import plot_cooccurrence_graph, plot_group_dendrogram, plot_groups
from .labels import plot_heatmaps, plot_labels
from .overlay import overlay
from .reports import plot_average_precision, plot_training_curves

__all__ = [
    "overlay",
    "plot_average_precision",
    "plot_cooccurrence_graph",
    "plot_cooccurrence_matrix",
    "plot_group_dendrogram",
    "plot_groups",
    "plot_heatmaps",
    "plot_labels",
    "plot_texts",
    "plot_training_curves",
]
