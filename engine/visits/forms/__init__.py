"""Forms that visitors send: who sends a report."""
