"""What the pages of the graph share: the engine, the numbers, the weights, and the residual stream."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from backend.inference.hyper import Hyper
from backend.inference.weights import Weights
from ext.engine import Engine
from ext.matrix import MatrixRef
from ext.steps import Buffer

Vector = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Place:
    """Where rows of a tensor are used: output `output` of `outputs` of step `step` has `rows` from `first` on.

    `table`: they are looked up, not multiplied.
    """

    step: int
    output: int
    outputs: int
    first: int
    rows: int
    table: bool = False


class Builder:
    """Adds steps to an engine's program, and keeps count of what it reads and where."""

    def __init__(self, engine: Engine, h: Hyper, w: Weights, context: int, kv: str) -> None:
        self.engine, self.h, self.w = engine, h, w
        self.context, self.kv = context, kv
        self.x = engine.buffer(h.embedding)  # the residual stream
        self.read = 0  # bytes of weights that a token reads
        self.places: dict[str, list[Place]] = {}  # of each tensor that an adapter may change
        self.mixtures: dict[str, tuple[int, int]] = {}  # of all experts' matrices: see Graph
        self._branch_weight: Vector | None = None

    @cached_property
    def branch(self) -> Buffer:
        """The output of a part of a layer that goes through a norm before it is added to the stream."""
        return self.engine.buffer(self.h.embedding)

    def embed(self, table: MatrixRef, scale: float) -> None:
        """Set the residual stream to the embeddings of the ids."""
        step = self.engine.embed(table, self.x, scale, *self.w.place("token_embd.weight"))
        self.places["token_embd.weight"] = [Place(step, 0, 1, 0, self.h.embedding, table=True)]

    def norm(
        self,
        weight: str,
        users: list[MatrixRef],
        *,
        last_only: bool = False,
        scale: float = 1.0,
    ) -> None:
        """Prepare the norm of the residual stream for the products of `users`, times `scale`."""
        vector = self.w.vector(weight, self.h.embedding)
        if self._branch_weight is None:
            self.engine.norm(self.x, vector, self.h.eps, users, last_only, scale)
        else:
            branch, after = self.branch, self._branch_weight
            self.engine.norm(self.x, vector, self.h.eps, users, last_only, scale, branch, after)
        self._branch_weight = None

    def linear(
        self,
        matrices: list[MatrixRef],
        outs: list[Buffer],
        biases: list[Vector | None] | None = None,
        *,
        add: bool = False,
        last_only: bool = False,
    ) -> None:
        """outs[i] (+)= matrices[i] @ prepared input + biases[i]."""
        step = self.engine.linear(matrices, outs, biases, add, last_only)
        for output, matrix in enumerate(matrices):
            name, first = self.w.origin(matrix)
            if last_only:
                name = "output.weight"  # whether or not its weights are those of the embeddings
            place = Place(step, output, len(matrices), first, matrix.rows)
            self.places.setdefault(name, []).append(place)
            self.read += matrix.bytes

    def project(self, matrix: MatrixRef, bias: str, post_norm: str) -> None:
        """Add the product of the prepared input to the residual stream, through a norm where there is one."""
        vector = self.w.optional_vector(bias, self.h.embedding)
        if vector is not None and self.h.residual_scale != 1:
            vector = (vector * self.h.residual_scale).astype(np.float32)
        if self.h.traits.post_norms:
            self.linear([matrix], [self.branch], [vector])
            self._branch_weight = self.w.vector(post_norm, self.h.embedding)
        else:
            self.linear([matrix], [self.x], [vector], add=True)
