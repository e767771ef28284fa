"""The compiled fold: reading records and packing clicks in C, byte for byte as the Python beside it does."""
