"""Files of links over HTTP: imports and exports."""
