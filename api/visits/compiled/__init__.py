"""The compiled core of the visitor server: plain visits answered in C, all others by Python."""
