"""The table of architectures. Keras is loaded when a model is built, not when the table is read."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType

from deconv_core.errors import ModelError


@dataclass(frozen=True)
class Architecture:
    """A family of models.

    Attributes:
        key: Name on the command line.
        label: Name on screen.
        stride: Height and width must be divisible by this (inference pads and crops by itself).
        summary: One sentence.
        training: The settings of training that suit it, by their names in `training.TrainSettings`.
    """

    key: str
    label: str
    stride: int
    summary: str
    training: Mapping[str, object] = field(default_factory=dict)

    def build(self, **arguments):
        """A fresh, uncompiled `keras.Model`; raises ModelError for arguments the builder does not take."""
        try:
            return self._builder()(**arguments)
        except (TypeError, ValueError) as error:
            raise ModelError(f"Architecture '{self.key}' cannot be built with {arguments}: {error}") from error

    def _builder(self) -> Callable:
        return getattr(import_module(f"deconv_core.models.{self.key}"), self.key)


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {
        row.key: row
        for row in (
            Architecture(
                "article",
                "Introductory network",
                stride=2,
                summary="Convolution, pooling, upsampling, convolution: for small grey pictures such as digits.",
                training={"loss": "binary_crossentropy", "epochs": 10, "batch_size": 32, "learning_rate": 1e-3},
            ),
            Architecture(
                "photo",
                "Photograph network",
                stride=8,
                summary="Residual encoder and decoder with a code at 1/8 resolution and a linear path beside them.",
                training={"loss": "charbonnier", "epochs": 20, "batch_size": 16, "learning_rate": 2e-3},
            ),
        )
    }
)


def architecture(key: str) -> Architecture:
    """The table's row for `key`; raises ModelError with the valid names."""
    if key not in ARCHITECTURES:
        raise ModelError(f"Unknown architecture '{key}'; choose one of {', '.join(ARCHITECTURES)}.")
    return ARCHITECTURES[key]
