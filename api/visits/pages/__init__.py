"""Pages and files that the visitors' server has beside redirects."""
