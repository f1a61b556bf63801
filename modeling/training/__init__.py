"""Learning prompts from sentences."""
