"""Forms that visitors send: passwords of links, addresses for pages, and reports of links."""
