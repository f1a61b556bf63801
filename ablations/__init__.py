"""Studies of what the method's parts bring; not installed."""
