"""The ground that every room stands on: errors, cache, files, progress."""
