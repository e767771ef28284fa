"""Every service has an icon, made of shapes only."""

import re

import pytest

from engine.pages.html.icons import icon, service_icon
from engine.pages.services import SERVICES


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_has_an_icon_of_its_own(service: str) -> None:
    svg = service_icon(service)
    assert set(re.findall(r"<(\w+)", svg)) <= {"svg", "path", "circle", "rect", "line"}
    assert (svg == icon("globe")) == (service == "website")
    assert len(svg) < 1_300


def test_an_unknown_service_has_the_globe() -> None:
    for name in ("geocities", "docker", "\ud800"):
        assert service_icon(name) == icon("globe")
    with pytest.raises(KeyError):
        icon("no-such-icon")
