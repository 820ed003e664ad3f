"""Sterna's own themes. Colour only repeats what a glyph and a word already say."""

from __future__ import annotations

import os

from textual.theme import Theme

_DARK = Theme(
    name="sterna-dark",
    primary="#6cb6d9",
    secondary="#8a9bb0",
    accent="#f2a65a",
    warning="#e8c268",
    error="#e0706c",
    success="#7fc48f",
    foreground="#dde3ea",
    background="#12161c",
    surface="#161b22",
    panel="#1f2630",
    variables={"block-cursor-text-style": "bold"},
)
_LIGHT = Theme(
    name="sterna-light",
    primary="#1f6f94",
    secondary="#5b6b7f",
    accent="#b35c00",
    warning="#8a6100",
    error="#b3322d",
    success="#2c7a3f",
    foreground="#1b232c",
    background="#f7f8f9",
    surface="#ffffff",
    panel="#e6eaee",
    dark=False,
    variables={"block-cursor-text-style": "bold"},
)
# The terminal's own sixteen colours: follows whatever palette the user has chosen there.
_TERMINAL = Theme(
    name="sterna-terminal",
    ansi=True,
    primary="ansi_cyan",
    secondary="ansi_blue",
    accent="ansi_yellow",
    warning="ansi_yellow",
    error="ansi_red",
    success="ansi_green",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        "ansi-background": "ansi_default",
        "ansi-foreground": "ansi_default",
        "block-cursor-background": "ansi_default",
        "block-cursor-foreground": "ansi_default",
        "block-cursor-text-style": "reverse",
        "block-cursor-blurred-background": "ansi_default",
        "block-cursor-blurred-foreground": "ansi_default",
        "block-cursor-blurred-text-style": "underline",
        "input-cursor-background": "ansi_default",
        "input-cursor-foreground": "ansi_default",
        "input-cursor-text-style": "reverse",
        "input-selection-background": "ansi_blue",
        "input-selection-foreground": "ansi_white",
        "screen-selection-background": "ansi_blue",
        "screen-selection-foreground": "ansi_white",
    },
)
# No colour at all: the cursor is reverse video, everything else is told by glyphs and words.
_PLAIN = Theme(
    name="sterna-plain",
    ansi=True,
    primary="ansi_default",
    secondary="ansi_default",
    accent="ansi_default",
    warning="ansi_default",
    error="ansi_default",
    success="ansi_default",
    foreground="ansi_default",
    background="ansi_default",
    surface="ansi_default",
    panel="ansi_default",
    boost="ansi_default",
    variables={
        **_TERMINAL.variables,
        "input-selection-background": "ansi_default",
        "input-selection-foreground": "ansi_default",
        "screen-selection-background": "ansi_default",
        "screen-selection-foreground": "ansi_default",
    },
)

THEMES = (_DARK, _LIGHT, _TERMINAL, _PLAIN)


def choose(wanted: str) -> str:
    """Return the theme to start with: NO_COLOR wins over the settings, an empty wish is dark."""
    if os.environ.get("NO_COLOR"):
        return _PLAIN.name
    return wanted or _DARK.name
