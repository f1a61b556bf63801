"""Measuring models on labelled photos, beside their peers."""
