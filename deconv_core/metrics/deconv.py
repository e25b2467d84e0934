"""The deconvolution score: is the picture the same as shown, and is it the same when rebuilt by a network?

Both pictures go through a convolution-deconvolution network that removes noise; edges and information are compared
before and after. What is rebuilt forgives fine noise, which people forgive too. `deconv_control` is the same with a
plain Gaussian in place of the network: read both, the difference is what the network adds.
"""

import cv2
import numpy as np

from deconv_core.errors import ModelError
from deconv_core.metrics._checks import check_model, check_pair
from deconv_core.metrics._planes import each_pair, luma
from deconv_core.metrics.gradient_information import SMALLEST_SIDE, difference, gradient_error, to_score
from deconv_core.metrics.remembered import remembered

# Squared grey levels of [0, 1]: a residual as strong as noise of 20/255, which the network is trained to remove, is
# taken for noise.
_NOISE = (20 / 255) ** 2
# Weight of the rebuilt view. With .75 and squares no ladder turned around on forty photographs. A geometric mean is as
# close to people (rank correlation .929, here .927), but jumps where the rebuilt view loses sight of a damage.
_REBUILT = 0.75


def deconv(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """100 clip(1 - sqrt((D(x, y)^2 + 3 D(R'(x), R'(y))^2) / 4) / .45, 0, 1) of each pair: as shown and as rebuilt.

    D is the distance of `gradient_information`. R'(g) = P(g) + e max(0, s - v) / max(s, v) with P the network, e = g -
    P(g), s the 3x3 mean of e^2 and v = (20/255)^2: detail stronger than noise is put back. Works on luma; blind to
    colour and to a change of brightness that keeps every gradient.

    Args:
        reference: Originals, float32, shape (N, H, W, C), values in [0, 1], sides of at least 14 pixels.
        candidate: Same shape.
        model: The grey denoising network: `reconstruct` takes and gives (N, H, W, 1).

    Returns:
        float64 array of shape (N,), in [0, 100]; higher is better, identical pairs give exactly 100.

    Raises:
        ImageError: Shapes differ, values leave [0, 1], or a side is shorter than 14 pixels.
        ModelError: No model, or one for colour.
    """
    reference, candidate = check_pair(reference, candidate, metric="deconv", smallest_side=SMALLEST_SIDE)
    rebuilt = _rebuilt_by(model, reference), _rebuilt_by(model, candidate)
    pairs = _with_rebuilt(reference, rebuilt[0]), _with_rebuilt(candidate, rebuilt[1])
    return np.array(each_pair(two_views, *pairs))


def deconv_map(reference: np.ndarray, candidate: np.ndarray, *, model: object) -> np.ndarray:
    """Where the pictures differ in both views: float32 (N, H, W), in [0, 1], 0 where no edge changed.

    The root mean square, at each pixel, of 1 - gradient similarity of the pictures as shown and, with three times the
    weight, of the rebuilt ones, as the score takes it of the two distances. The information ratio V has no part in it.
    """
    reference, candidate = check_pair(reference, candidate, metric="deconv", smallest_side=SMALLEST_SIDE)
    rebuilt = _rebuilt_by(model, reference), _rebuilt_by(model, candidate)
    pairs = _with_rebuilt(reference, rebuilt[0]), _with_rebuilt(candidate, rebuilt[1])
    return np.stack(each_pair(two_views_map, *pairs))


def two_views(x: np.ndarray, y: np.ndarray) -> float:
    """Score of two float64 arrays (H, W, 2), the grey plane and the rebuilt one."""
    shown = difference(x[..., 0], y[..., 0])
    rebuilt = difference(x[..., 1], y[..., 1])
    return to_score(_together(shown, rebuilt))


def two_views_map(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Weighted root mean square of the gradient errors of both planes, float32 (H, W)."""
    return _together(gradient_error(x[..., 0], y[..., 0]), gradient_error(x[..., 1], y[..., 1]))


def put_detail_back(grey: np.ndarray, smooth: np.ndarray) -> np.ndarray:
    """R' of a float64 plane: the smooth picture plus what it lacks, shrunk where that is no stronger than noise."""
    lost = grey - smooth
    strength = cv2.boxFilter(lost * lost, -1, (3, 3), borderType=cv2.BORDER_REFLECT_101)
    return smooth + lost * np.maximum(0, strength - _NOISE) / np.maximum(strength, _NOISE)


def _together(shown: float | np.ndarray, rebuilt: float | np.ndarray) -> float | np.ndarray:
    # Plain numbers of Python keep float32 maps float32.
    return np.sqrt((1 - _REBUILT) * shown**2 + _REBUILT * rebuilt**2)


def _rebuilt_by(model: object, batch: np.ndarray) -> np.ndarray:
    """P of every picture's luma, float32 (N, H, W)."""
    check_model(model, metric="deconv")
    if getattr(model, "channels", 1) != 1:
        raise ModelError(
            f"deconv needs a grey model (1 channel); this one has {model.channels}. "
            "Pass the bundled denoising model, or use the recon_* scores with this one."
        )
    model = remembered(model, channels=1)
    return model.reconstruct(model.as_seen(batch))[..., 0]


def _with_rebuilt(batch: np.ndarray, smooth: np.ndarray) -> list[np.ndarray]:
    greys = [luma(image, np.float64) for image in batch]
    return [
        np.stack([grey, put_detail_back(grey, plane.astype(np.float64))], axis=-1)
        for grey, plane in zip(greys, smooth, strict=True)
    ]
