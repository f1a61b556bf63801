"""What goes wrong while something is written: one line, and only for what is about writing."""

import errno
import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from wordsight.utils.errors import WordsightError, writing


def caught(tmp_path, error):
    with pytest.raises(WordsightError) as found, writing(tmp_path / "file", "run it again"):
        raise error
    return str(found.value)


@pytest.mark.parametrize(
    "error", [torch.AcceleratorError("CUDA error: device-side assert"), RuntimeError("CUDA error")]
)
def test_an_error_of_the_device_is_not_one_of_the_disk(tmp_path, error):
    with pytest.raises(type(error), match="CUDA error"), writing(tmp_path, "run it again"):
        raise error


def test_the_remedy_suits_the_reason(tmp_path):
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    assert caught(tmp_path, full) == (
        f"{tmp_path}/file can't be written: No space left on device. Make room, then run it again."
    )
    assert "Check that the folder can be written" in caught(
        tmp_path, PermissionError(errno.EACCES, "Permission denied")
    )
    assert "can't be written: OSError. Check" in caught(tmp_path, OSError())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs Linux's /dev/full")
def test_a_full_disk_as_torch_and_safetensors_say_it(tmp_path):
    with pytest.raises(WordsightError, match="Make room"), writing(tmp_path, "run it again"):
        torch.save({"a": torch.zeros(100_000)}, "/dev/full")
    with pytest.raises(WordsightError, match="can't be written"), writing(tmp_path, "run it again"):
        save_file({"a": torch.zeros(3)}, tmp_path / "nowhere" / "file")
