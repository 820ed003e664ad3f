"""Chat templates, rendered in a child process that can be killed.

A template is a program from outside. Jinja's sandbox keeps it from the interpreter's insides, but not
from burning time or memory; so it runs apart, under limits, and is killed when it takes too long.
"""

from backend.templates.render import Rendered, Renderer, render

__all__ = ["Rendered", "Renderer", "render"]
