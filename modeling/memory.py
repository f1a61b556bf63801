"""When an accelerator's memory runs out: the same work again in smaller pieces, and the smaller size from then on."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TypeVar

from accelerate.utils import find_executable_batch_size
from accelerate.utils.memory import should_reduce_batch_size

from wordsight.utils.errors import WordsightError

Result = TypeVar("Result")


class Pieces:
    """Encodes batches in pieces that fit into memory: whole at first, halved whenever memory runs out.

    A batch that is loaded already is cut, so that nothing is read twice. The size is kept for the batches that follow;
    keep one object for all batches of a job. Values are those of whole batches, up to rounding.

    Args:
        what: plural of what is encoded, for messages.

    Attributes:
        size: the most rows at a time; None as long as memory sufficed.

    Example:
        >>> pieces = Pieces("sentences")
        >>> parts = pieces(lambda rows: encoder(input_ids[rows]).pooled, len(input_ids))  # doctest: +SKIP
        >>> pooled = torch.cat(parts)  # doctest: +SKIP
    """

    def __init__(self, what: str = "photos") -> None:
        self.what = what
        self.size: int | None = None

    def __call__(self, encode: Callable[[slice], Result], count: int) -> list[Result]:
        """Encodes one batch.

        Args:
            encode: gives the result for some rows of the batch; it is asked again for rows that it gave before if
                memory runs out on later ones, and should move results off the accelerator.
            count: rows of the batch.

        Returns:
            Results of the pieces, in order; one alone where memory suffices.

        Raises:
            WordsightError: memory does not suffice for a single row.
        """
        size = min(self.size or count, count)

        def in_pieces(size: int) -> list[Result]:
            return [encode(slice(start, min(start + size, count))) for start in range(0, count, size)]

        if not count:
            return []
        try:
            return in_pieces(size)
        except RuntimeError as error:
            if not should_reduce_batch_size(error):
                raise
        # Accelerate's helper frees caches and collects garbage whenever it is called, which takes longer than many a
        # batch: it is called only once memory did run out, and once the failed attempt's frames are gone.
        self.size = size
        smaller = self._halve()
        return find_executable_batch_size(in_pieces, smaller, self._halve)()

    def _halve(self) -> int:
        assert self.size is not None
        if self.size == 1:
            raise WordsightError(
                f"Out of memory with only one of the {self.what} at a time. Free the accelerator (nvidia-smi shows who "
                'uses it), or work on the CPU: CUDA_VISIBLE_DEVICES="".'
            )
        before, self.size = self.size, self.size // 2
        warnings.warn(f"Out of memory with {before} {self.what} at a time; going on with {self.size}.", stacklevel=2)
        return self.size
