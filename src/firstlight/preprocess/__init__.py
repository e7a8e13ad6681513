"""Light curves cleaned, calibrated and turned into model input; every step causal."""
