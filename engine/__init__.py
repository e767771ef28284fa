"""The room of what is decided: pure rules and ports. No socket, file, clock or event loop; time and
randomness come in."""
