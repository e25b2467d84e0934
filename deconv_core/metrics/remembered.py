"""A model that remembers its answers, so that ten metrics of one pair cost one pass per picture."""

from collections import OrderedDict
from collections.abc import Callable

import numpy as np

from deconv_core.metrics._planes import luma

# A pair of batches, each as it came and as the model sees it, rebuilt and encoded, with room to spare.
_KEPT = 12


class Remembered:
    """Wraps a model; asked again about the same array object, it gives the same answer without computing.

    Arrays are recognised by identity, and kept alive while they are remembered: do not write into a batch between two
    questions. Only the last twelve answers are kept. Use one such object for one pair of batches, then let go of it.

    Args:
        model: Anything with `reconstruct(batch)`; `encode(batch)`, `channels`, `digest` and `card` are passed on.
        channels: 1 or 3, where the model itself does not say; None takes pictures as they come.
    """

    def __init__(self, model: object, *, channels: int | None = None) -> None:
        self.model = model
        self.channels = getattr(model, "channels", channels)
        self._answers: OrderedDict[tuple[str, int], tuple[np.ndarray, np.ndarray]] = OrderedDict()

    def __getattr__(self, name: str) -> object:
        return getattr(self.model, name)

    def as_seen(self, batch: np.ndarray) -> np.ndarray:
        """The batch in the model's own channels: luma for a grey model, a grey channel repeated for a colour model."""
        if self.channels in (None, batch.shape[-1]):
            return batch
        convert = _to_luma if self.channels == 1 else _to_colour
        return self._once("as_seen", batch, convert)

    def reconstruct(self, batch: np.ndarray) -> np.ndarray:
        """The model's `reconstruct(batch)`, remembered; its own answer becomes float32 in [0, 1]."""
        return self._once("reconstruct", batch, self._reconstruct)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """The model's `encode(batch)`, remembered, as a NumPy array."""
        return self._once("encode", batch, lambda arrived: np.asarray(self.model.encode(arrived)))

    def _reconstruct(self, batch: np.ndarray) -> np.ndarray:
        return np.clip(np.asarray(self.model.reconstruct(batch), dtype=np.float32), 0, 1)

    def _once(self, question: str, batch: np.ndarray, answer: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        key = (question, id(batch))
        if key not in self._answers:
            if len(batch) > 1 and batch.strides[0] == 0:  # one picture broadcast to a batch: answered once
                one = answer(batch[:1])
                found = np.broadcast_to(one, (len(batch), *one.shape[1:]))
            else:
                found = answer(batch)
            # The batch is kept with the answer: while it lives, no other array can have its id.
            self._answers[key] = (batch, found)
            if len(self._answers) > _KEPT:
                self._answers.popitem(last=False)
        else:
            self._answers.move_to_end(key)
        return self._answers[key][1]


def remembered(model: object, *, channels: int | None = None) -> Remembered:
    """The model itself if it remembers already, else a `Remembered` around it."""
    return model if isinstance(model, Remembered) else Remembered(model, channels=channels)


def _to_luma(batch: np.ndarray) -> np.ndarray:
    # The weights of luma sum to one only within rounding: white must not leave [0, 1].
    return np.clip(np.stack([luma(image) for image in batch])[..., None], 0, 1)


def _to_colour(batch: np.ndarray) -> np.ndarray:
    return np.repeat(batch, 3, axis=-1)
