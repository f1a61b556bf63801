"""What several tests of the pipeline share."""

import signal

import pytest

from tests.modeling.test_modeling import make_model
from wordsight.modeling.configuration_wordsight import TASK
from wordsight.pipelines.multi_label_image_classification import MultiLabelImageClassificationPipeline


@pytest.fixture(scope="module")
def labeler(tiny_clip_dir):
    model = make_model(str(tiny_clip_dir))
    return MultiLabelImageClassificationPipeline(
        model=model, image_processor=model.image_encoder.image_processor, task=TASK
    )


@pytest.fixture
def child_handler():
    """Takes out torch's handler of workers' ends, which stays once workers were started from the main thread."""
    handler = signal.getsignal(signal.SIGCHLD)
    yield
    signal.signal(signal.SIGCHLD, handler)
