"""Measuring models on labeled photos, beside their peers."""
