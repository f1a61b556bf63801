"""Models: configuration, prompts, encoders, training. Import from the modules, or the public names from `wordsight`."""
