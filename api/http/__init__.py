"""The console's framework: routes, bodies, problems, limits. Knows no domain."""
