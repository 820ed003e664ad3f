"""The one exception that reaches people."""


class SternaError(Exception):
    """A failure with its cause and a way out, fit to be shown as it stands.

    `kind` is a stable word for programs (`not_gguf`, `truncated`, `unsupported_arch`, …), `message`
    one sentence of fact, `hint` what to do next. Text from outside inside them is cleaned by the
    front end that shows it.
    """

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[type["SternaError"], tuple[str, str, str]]:
        return type(self), (self.kind, self.message, self.hint)

    def as_dict(self) -> dict[str, str]:
        """Return the contract's JSON form of an error."""
        return {"kind": self.kind, "message": self.message, "hint": self.hint}
