"""A world of rendered scenes whose truth is known, and a small CLIP trained on it: see docs/results.md."""
