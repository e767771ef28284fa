"""Assets: pictures that members upload for their pages, and the files that visitors get of them."""
