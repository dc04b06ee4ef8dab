"""Places that take appends and never forget, and the reading of logs out of them."""
