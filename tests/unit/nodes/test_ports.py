"""Which value may enter which port."""

from __future__ import annotations

import pytest

from orchestrator.nodes.ports import Port, PortType


@pytest.mark.parametrize(
    ("port", "value", "fits"),
    [
        (PortType("Media"), PortType("Media", "image"), True),
        (PortType("Media", "image"), PortType("Media", "image"), True),
        (PortType("Media", "image"), PortType("Media", "video"), False),
        (PortType("Media", "image"), PortType("Media"), True),
        (PortType("Media", "image"), PortType("Features", "image"), False),
        (PortType("Reply"), PortType("Reply"), True),
    ],
)
def test_types(port: PortType, value: PortType, fits: bool) -> None:
    assert port.accepts(value) is fits
    assert Port(port, "doc").accepts(value) is fits


def test_a_port_may_refuse_modalities() -> None:
    port = Port(PortType("Media"), "doc", not_modalities=("text",))
    assert port.accepts(PortType("Media", "image"))
    assert not port.accepts(PortType("Media", "text"))


@pytest.mark.parametrize(("of", "shown"), [(PortType("Reply"), "Reply"), (PortType("Media", "image"), "Media[image]")])
def test_shown(of: PortType, shown: str) -> None:
    assert str(of) == shown
