"""What is decided: pure rules. No socket, file, clock or event loop; time and randomness come in."""
