"""The compiled packing of clicks: byte for byte as click_packer.py does."""
