"""Wordsight."""
