"""Check the import contracts on the sources.

An editable install answers for the packages with places of its own, where the checker finds no files:
so it is set aside first.
"""

import sys
from pathlib import Path

from importlinter.cli import lint_imports_command

sys.meta_path[:] = [finder for finder in sys.meta_path if "Mesonpy" not in type(finder).__name__]
sys.path.insert(0, str(Path(__file__).parents[1]))
lint_imports_command()
