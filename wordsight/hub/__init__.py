"""The Hub: models and sentences are pushed in one commit each, and models work where wordsight is not installed."""
