"""The kernel's list of graphics cards, /sys/class/drm."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from backend.machine.host import Host

BASE = "/sys/class/drm"
VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}
_CARD = re.compile(r"card\d+$")  # card0-HDMI-A-1 is a connector


@dataclass(frozen=True, slots=True)
class Card:
    """A card: its vendor, its PCI device id as `0x744c`, and where its files are."""

    vendor: str
    device: str
    folder: str  # of the card; its device's files are in folder/device

    @property
    def files(self) -> str:
        """The folder of the device."""
        return f"{self.folder}/device"


def cards(host: Host) -> Iterator[Card]:
    """Yield the cards of vendors that make GPUs for computing."""
    for name in filter(_CARD.match, host.names(BASE)):
        folder = f"{BASE}/{name}"
        vendor = VENDORS.get(host.text(f"{folder}/device/vendor") or "")
        if vendor:
            yield Card(vendor, host.text(f"{folder}/device/device") or "", folder)


def product(host: Host, card: Card) -> str:
    """Return the card's name: the device's own word, the PCI list's, or vendor and number."""
    said = host.text(f"{card.files}/product_name")
    if said:
        return said if said.startswith(card.vendor) else f"{card.vendor} {said}"
    ids = next(v for v, name in VENDORS.items() if name == card.vendor), card.device
    listed = host.output("lspci", "-mm", "-d", ":".join(i.removeprefix("0x") for i in ids)) or ""
    quoted = re.findall(r'"([^"]*)"', listed.splitlines()[0]) if listed else []
    # slot "class" "vendor" "device": Device 1234 when the list does not know it
    if len(quoted) >= 3 and not quoted[2].startswith("Device "):
        bracketed = re.search(r"\[([^\]]+)\]$", quoted[2])  # Navi 31 [Radeon RX 7900 XT]
        return f"{card.vendor} {bracketed[1] if bracketed else quoted[2]}"
    return f"{card.vendor} {card.device}".rstrip()
