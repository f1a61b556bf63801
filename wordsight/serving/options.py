"""What a server is told: how photos are batched, what it refuses, and who may ask."""

from __future__ import annotations

from dataclasses import dataclass

MEGA = 10**6


@dataclass(frozen=True)
class ServingOptions:
    """Settings of a server.

    Args:
        batch_size: most photos that the model takes at once.
        max_wait_ms: milliseconds that a photo waits for others to fill a batch.
        max_queue: most photos that may be under way in a process, in all requests together; more are answered with 503.
        max_body_mb: most megabytes of a request.
        max_megapixels: most millions of pixels of a photo; Pillow itself refuses those of more than 178.
        timeout: seconds in which a request is answered once it was read, and in which it must be read.
        allow_urls: whether photos may be given by URL. Addresses that are not public are never fetched.
        api_key: what clients have to send as their token; none by default.

    Example:
        >>> from wordsight.serving import ServingOptions
        >>> ServingOptions(batch_size=16).max_wait_ms
        5.0
    """

    batch_size: int = 8
    max_wait_ms: float = 5.0
    max_queue: int = 256
    max_body_mb: float = 20.0
    max_megapixels: float = 89.0
    timeout: float = 30.0
    allow_urls: bool = False
    api_key: str | None = None

    @property
    def max_body(self) -> int:
        """Most bytes of a request."""
        return round(self.max_body_mb * MEGA)

    @property
    def max_pixels(self) -> int:
        """Most pixels of a photo."""
        return round(self.max_megapixels * MEGA)
