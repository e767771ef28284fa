"""The demo of `waypost up --demo`: a profile with links, a page, experiments, and visits of two months."""
