"""A small real Hub on loopback, for tests and for a person to play with (`make hub`)."""
