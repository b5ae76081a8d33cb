"""The errors a caller may want to tell apart; every message names the value and the remedy."""


class LlamaberryError(Exception):
    """The root of what Llamaberry raises by itself."""


class SetupError(LlamaberryError):
    """Something to put right before a model can be called: a key, a model's name, a package, a download."""


class ModelError(LlamaberryError):
    """The model was called and gave no usable reply; the provider's own exception is the `__cause__`."""

    def __init__(self, message: str, *, passing: bool = False) -> None:
        super().__init__(message)
        self.passing = passing
        """Whether the same call may succeed when it is made again."""
