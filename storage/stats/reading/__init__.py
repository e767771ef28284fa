"""Reading of answers from stored counts and from raw clicks."""
