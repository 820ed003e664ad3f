"""Tensors of a file as the engine takes them, with their shapes checked against the model's."""

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf import GGUFFile, TensorInfo
from ext.engine import Engine
from ext.matrix import TERNARY_TYPES, MatrixRef
from ext.quants import dequantise, row_bytes

_I2_S = 36


def unsupported_type(name: str, info: TensorInfo) -> SternaError:
    """Return the error for a tensor that the engine cannot compute with."""
    return SternaError(
        "unsupported_type",
        f"Tensor {name} has the type {info.type_name}, which Sterna's engine does not run yet.",
        "Take another quant of this model, or serve it by an endpoint such as Ollama or llama-server.",
    )


class Weights:
    """Looks tensors up by name, once each, and knows which were never asked for."""

    def __init__(self, file: GGUFFile, engine: Engine) -> None:
        self._file = file
        self._engine = engine
        self._unused = set(file.tensors)
        self._origins: dict[MatrixRef, tuple[str, int]] = {}

    def __contains__(self, name: str) -> bool:
        return name in self._file.tensors

    def matrix(
        self, name: str, rows: int, cols: int, *, table: bool = False, output: bool = False
    ) -> MatrixRef:
        """Return a matrix of `rows` outputs and `cols` inputs.

        A `table` is read row by row; the `output` matrix may be laid out for choosing among its rows.
        """
        info = self._take(name, (cols, rows))
        if row_bytes(info.type, cols) == 0 or (table and info.type == _I2_S):
            raise unsupported_type(name, info)
        matrix = self._engine.matrix(
            info.type, self._file.data(name), rows, cols, not table, mapped=True, split=output
        )
        self._file.let_go()
        self._origins[matrix] = (name, 0)
        scale = name.removesuffix(".weight") + ".scale"
        if scale in self:
            self._rescale(matrix, scale, name)
        return matrix

    def place(self, name: str) -> tuple[int, int]:
        """Return where a tensor can be read from: a descriptor, and the first byte."""
        return self._file.place(name)

    def parts(self, name: str, rows: list[int], cols: int) -> list[MatrixRef]:
        """Return matrices that lie one after the other in one tensor, of so many rows each."""
        info = self._take(name, (cols, sum(rows)))
        each = row_bytes(info.type, cols)
        if each == 0 or info.type == _I2_S:  # whose scale stands behind the last row
            raise unsupported_type(name, info)
        data, first, found = self._file.data(name), 0, []
        for count in rows:
            part = data[first * each : (first + count) * each]
            found.append(self._engine.matrix(info.type, part, count, cols, mapped=True))
            self._origins[found[-1]] = (name, first)
            first += count
        self._file.let_go()
        return found

    def experts(self, name: str, count: int, rows: int, cols: int) -> list[MatrixRef]:
        """Return the matrix of each expert: `name` holds all, or each has its own tensor in an older file."""
        if name not in self:
            stem = name.removesuffix("_exps.weight")
            return [self.matrix(f"{stem}.{i}.weight", rows, cols) for i in range(count)]
        info = self._take(name, (cols, rows, count))
        each = row_bytes(info.type, cols) * rows
        if each == 0 or info.type == _I2_S:  # which has one scale for all experts, behind the last
            raise unsupported_type(name, info)
        data = self._file.data(name)
        parts = (data[i * each : (i + 1) * each] for i in range(count))
        found = [self._engine.matrix(info.type, part, rows, cols, mapped=True) for part in parts]
        self._file.let_go()
        return found

    def pair(self, first: str, second: str, rows: int, cols: int) -> list[MatrixRef]:
        """Return two matrices of equal shape, which some files keep as one, named as the second."""
        if first not in self and second in self:
            return self.parts(second, [rows, rows], cols)
        return [self.matrix(first, rows, cols), self.matrix(second, rows, cols)]

    def shape(self, name: str) -> tuple[int, int]:
        """Return (outputs, inputs) of a tensor that is a matrix."""
        shape = self._file.tensors[name].shape
        return (shape[1] if len(shape) > 1 else 1), shape[0]

    def origin(self, matrix: MatrixRef) -> tuple[str, int]:
        """Return the tensor that a matrix lies in, and the row of it that it begins with."""
        return self._origins[matrix]

    def vector(self, name: str, width: int) -> npt.NDArray[np.float32]:
        """Return a vector as float32."""
        info = self._take(name, (width,))
        if row_bytes(info.type, width) == 0:
            raise SternaError(
                "unsupported_type",
                f"Tensor {name} has the type {info.type_name}.",
                "Take another file.",
            )
        return dequantise(info.type, self._file.data(name), 1, width).reshape(-1)

    def optional_vector(self, name: str, width: int) -> npt.NDArray[np.float32] | None:
        """Return a vector, or None where the file has none."""
        return self.vector(name, width) if name in self else None

    def unused(self) -> list[str]:
        """Return the names that nobody asked for."""
        return sorted(self._unused)

    def ignore(self, name: str) -> None:
        """Declare that a tensor needs no use."""
        self._unused.discard(name)

    def _rescale(self, matrix: MatrixRef, scale: str, name: str) -> None:
        """Some BitNet files keep the scale of ternary weights in a tensor of its own."""
        if self._file.tensors[name].type not in TERNARY_TYPES or not matrix.is_packed:
            raise SternaError(
                "unsupported_type",
                f"Tensor {name} has a scale apart but is not ternary.",
                "Take another file.",
            )
        matrix.rescale(float(self.vector(scale, 1)[0]))

    def _take(self, name: str, shape: tuple[int, ...]) -> TensorInfo:
        info = self._file.tensors.get(name)
        if info is None:
            raise SternaError(
                "corrupt",
                f"The file lacks the tensor {name}.",
                "Download the model again or take another file.",
            )
        if tuple(n for n in info.shape if n != 1) != tuple(n for n in shape if n != 1):
            raise SternaError(
                "corrupt",
                f"Tensor {name} has the shape {list(info.shape)} where {list(shape)} is needed.",
                "Download the model again or take another file.",
            )
        self._unused.discard(name)
        return info
