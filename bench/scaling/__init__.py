"""Measurements and model behind `python -m bench scale`: how counting grows with edges, workers and servers."""
