"""Labels for photos on a cluster, with Ray Data: needs the extra `[scale]`.

>>> from wordsight.scale import predict_dataset, read_photos
"""

from .labeling import predict_dataset
from .reading import read_photos
from .run import predict_on_ray

__all__ = ["predict_dataset", "predict_on_ray", "read_photos"]
