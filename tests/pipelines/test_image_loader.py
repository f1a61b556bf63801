"""The photo loader and the batches that halve, on real photos, real workers and a real killed process."""

import os
import signal
import warnings
from functools import partial
from io import BytesIO

import numpy as np
import psutil
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader
from transformers.models.clip import CLIPImageProcessorPil

from wordsight.modeling.encoders import load_image_encoder
from wordsight.modeling.memory import Pieces
from wordsight.pipelines import image_loader as photos_module
from wordsight.pipelines.image_io import draft_size
from wordsight.pipelines.image_loader import default_num_workers, open_photo
from wordsight.utils.errors import InvalidInputError, WordsightError

PROCESSOR = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})


def photo_batches(photos, batch_size, processor=PROCESSOR, **options):
    return list(photos_module.photo_batches(photos, processor, batch_size, **options))


def jpeg(image, **options):
    content = BytesIO()
    image.save(content, "JPEG", **options)
    return content.getvalue()


def noise(seed, width=50, height=40):
    pixels = np.random.default_rng(seed).integers(0, 255, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """Seven: paths, bytes, and what gives an image or bytes; the third can't be read."""
    folder = tmp_path_factory.mktemp("photos")
    paths = [folder / f"{seed}.png" for seed in range(3)]
    for seed, path in enumerate(paths):
        noise(seed).save(path)
    paths[2].write_bytes(b"no photo")
    return [*paths, jpeg(noise(3)), partial(noise, 4), partial(jpeg, noise(5)), str(paths[0])]


@pytest.mark.parametrize("num_workers", [0, 2])
@pytest.mark.parametrize("stream", [False, True])
def test_batches_are_in_order_and_as_the_processor_has_them(photos, num_workers, stream):
    given = iter(photos) if stream else photos
    batches = photo_batches(given, 3, num_workers=num_workers)
    assert [batch.rows for batch in batches] == [[0, 1], [3, 4, 5], [6]]
    assert [len(batch) for batch in batches] == [3, 3, 1]
    assert batches[0].unreadable == {2: "not in a format that Pillow reads"}
    expected = PROCESSOR(images=[open_photo(photos[row]) for row in (0, 1, 3, 4, 5, 6)], return_tensors="pt")
    torch.testing.assert_close(torch.cat([b.pixel_values for b in batches]), expected.pixel_values, rtol=0, atol=0)


def test_processes_share_the_same_batches(photos):
    alone = [batch.rows for batch in photo_batches(photos, 2)]
    shares = [[b.rows for b in photo_batches(photos, 2, process_index=index, num_processes=3)] for index in range(3)]
    assert shares == [alone[index::3] for index in range(3)]


def test_photos_are_turned_upright():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was turned by 90 degrees
    photo = Image.new("RGB", (64, 32))
    photo.paste((255, 0, 0), (0, 0, 32, 32))
    for least in (None, 8):
        opened = open_photo(jpeg(photo, exif=exif), least)
        assert opened.height == 2 * opened.width
        assert opened.getpixel((opened.width // 2, 1))[0] > 200  # left has become top


def test_reduced_decoding_stays_above_twice_the_encoder_s_size():
    assert draft_size(PROCESSOR) == 448  # never less, however little an encoder sees
    assert draft_size(load_image_encoder("imagenet").image_processor) == 576
    for width, height, expected in [(4000, 3000, (500, 375)), (500, 300, (125, 75)), (120, 90, (120, 90))]:
        assert open_photo(jpeg(noise(0, width, height)), 64).size == expected
    assert open_photo(jpeg(noise(0, 500, 300))).size == (500, 300)


def test_damaged_photos_are_told_with_their_reason(tmp_path):
    whole = jpeg(noise(0, 200, 200))
    (tmp_path / "empty.jpg").touch()
    given = [whole[: len(whole) // 2], tmp_path / "empty.jpg", tmp_path / "gone.jpg", whole]
    (batch,) = photo_batches(given, 8)
    assert batch.rows == [3]
    assert batch.unreadable[0].startswith("OSError: image file is truncated")
    assert batch.unreadable[1] == "not in a format that Pillow reads"
    assert batch.unreadable[2] == "FileNotFoundError: No such file or directory"
    (nothing,) = photo_batches(given[:2], 8)
    assert nothing.rows == [] and len(nothing.pixel_values) == 0


def test_workers_use_one_thread_each():
    def threads():
        return Image.new("RGB", (32, 32), (torch.get_num_threads(), os.getpid() % 251, 0))

    plain = CLIPImageProcessorPil(do_resize=False, do_center_crop=False, do_normalize=False, do_rescale=False)
    (batch,) = photo_batches([threads], 1, plain, num_workers=1)
    assert batch.pixel_values[0, 0, 0, 0] == 1
    assert batch.pixel_values[0, 1, 0, 0] != os.getpid() % 251


def test_after_another_loader_s_workers(photos, child_handler):
    """From then on torch raises a worker's bad end wherever this process is."""
    assert len(list(DataLoader([1, 2], num_workers=1))) == 2
    before = set(psutil.Process().children())
    batches = photo_batches(photos, 3, num_workers=2)
    assert [batch.rows for batch in batches] == [[0, 1], [3, 4, 5], [6]]
    psutil.wait_procs(set(psutil.Process().children()) - before, timeout=30)


def test_dead_worker_is_an_error_that_names_its_photos(photos):
    def die():
        os.kill(os.getpid(), signal.SIGKILL)

    given = [photos[0], photos[1], die, photos[1]]
    with pytest.raises(WordsightError, match=r"died.*'photo 2', 'photo 3'\. Run the same command again.*--num-workers"):
        photo_batches(given, 2, num_workers=1, name_of="photo {}".format)


def test_number_of_workers(monkeypatch, photos):
    with pytest.raises(InvalidInputError, match="num_workers must be 0 or more, got -1"):
        photo_batches(photos, 2, num_workers=-1)
    for cores, processes, accelerator, expected in [
        (2, 1, False, 0),
        (2, 1, True, 2),
        (64, 1, False, 8),
        (8, 4, True, 2),
    ]:
        monkeypatch.setattr(os, "sched_getaffinity", lambda _, cores=cores: set(range(cores)))
        monkeypatch.setattr(torch.accelerator, "is_available", lambda accelerator=accelerator: accelerator)
        monkeypatch.setenv("LOCAL_WORLD_SIZE", str(processes))
        assert default_num_workers() == expected


class SmallMemory:
    """Squares rows, as long as no more than `room` of them are given at once."""

    def __init__(self, batch, room):
        self.batch, self.room, self.asked = batch, room, []

    def __call__(self, rows):
        piece = self.batch[rows]
        self.asked.append(len(piece))
        if len(piece) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB. GPU 0 has a total capacity")
        return piece**2


def test_batches_are_halved_when_memory_runs_out_and_stay_so():
    pieces, encode = Pieces("sentences"), SmallMemory(torch.arange(10), room=3)
    with pytest.warns(UserWarning) as caught:
        parts = pieces(encode, 10)
    assert [str(warning.message) for warning in caught] == [
        "Out of memory with 10 sentences at a time; going on with 5.",
        "Out of memory with 5 sentences at a time; going on with 2.",
    ]
    assert torch.cat(parts).tolist() == [row**2 for row in range(10)]
    encode.asked.clear()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert torch.cat(pieces(encode, 10)).tolist() == [row**2 for row in range(10)]
        assert encode.asked == [2, 2, 2, 2, 2]
        roomy = SmallMemory(torch.arange(10), room=10)
        Pieces()(roomy, 10)
        assert roomy.asked == [10]
        assert Pieces()(roomy, 0) == []


def test_no_room_for_a_single_row_is_an_error_that_says_what_to_do():
    with (
        pytest.warns(UserWarning),
        pytest.raises(WordsightError, match=r"one of the photos.*CUDA_VISIBLE_DEVICES"),
    ):
        Pieces()(SmallMemory(torch.arange(4), room=0), 4)


def test_other_errors_are_left_alone():
    def encode(rows):
        raise RuntimeError("The size of tensor a (3) must match")

    with pytest.raises(RuntimeError, match="must match"):
        Pieces()(encode, 4)
