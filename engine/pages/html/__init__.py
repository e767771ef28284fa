"""The HTML of a page: one document without a script, of which every visitor of a version gets equal bytes."""
