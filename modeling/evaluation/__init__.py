"""Measuring models on labeled photos, beside the baselines."""
