"""Social preferences: what people would give up so that others have less, or more."""
