"""Tests of api/processes/demo/pictures.py."""

import io

from PIL import Image

from api.processes.demo import pictures


def test_a_picture_is_a_png_of_its_size_and_the_same_each_time() -> None:
    png = pictures.garden(1, pictures.DUSK, 320, 200)
    assert Image.open(io.BytesIO(png)).size == (320, 200)
    assert png == pictures.garden(1, pictures.DUSK, 320, 200)
    assert png != pictures.garden(2, pictures.DUSK, 320, 200)
    assert Image.open(io.BytesIO(pictures.face(64))).size == (64, 64)
