"""Transposed convolution on one picture, to look at: the adjoint of a convolution, not its inverse.

A convolution with stride is a linear map K from pictures to codes. Its transpose K^T, the "deconvolution" of networks,
goes from codes to pictures: every code value places a copy of the kernel, weighted by that value, and copies that
overlap are added. An output pixel is therefore a sum over all placements that reach it, and not one sum of products of
the kernel with one window. K^T has the defining property <K x, y> = <x, K^T y>; it does not undo K.

Everything here works on single-channel pictures (H, W) in float64. The kernel is not flipped, as in networks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from deconv_core.errors import DeconvError, ImageError

# A matrix with more entries than this helps nobody to understand anything.
MAX_MATRIX_ENTRIES = 4_000_000


def _kernel(rows: list[list[float]], divisor: float = 1.0) -> np.ndarray:
    kernel = np.array(rows, float) / divisor
    kernel.setflags(write=False)
    return kernel


_BINOMIAL = np.array([1.0, 4.0, 6.0, 4.0, 1.0])

# Plain words -> kernel; read-only, so that no visitor can change another one's.
KERNELS: dict[str, np.ndarray] = {
    "Box 2 × 2": _kernel([[1, 1], [1, 1]], 4),
    "Box 3 × 3": _kernel([[1, 1, 1]] * 3, 9),
    "Gaussian 3 × 3": _kernel([[1, 2, 1], [2, 4, 2], [1, 2, 1]], 16),
    "Gaussian 5 × 5": _kernel(np.outer(_BINOMIAL, _BINOMIAL).tolist(), 256),
    "Sobel, left to right": _kernel([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]]),
    "Sobel, top to bottom": _kernel([[-1, -2, -1], [0, 0, 0], [1, 2, 1]]),
    "Laplacian": _kernel([[0, 1, 0], [1, -4, 1], [0, 1, 0]]),
    "Sharpen": _kernel([[0, -1, 0], [-1, 5, -1], [0, -1, 0]]),
    "Emboss": _kernel([[-2, -1, 0], [-1, 1, 1], [0, 1, 2]]),
    "One pixel": _kernel([[0, 0, 0], [0, 1, 0], [0, 0, 0]]),
}


@dataclass(frozen=True)
class AdjointGap:
    """The two inner products that must agree, and how far they are apart."""

    in_code: float  # <K x, y>
    in_picture: float  # <x, K^T y>
    relative: float  # difference divided by |K x| |y|, the most that rounding could be measured against


@dataclass(frozen=True)
class InverseGap:
    """What K^T makes of K x, and how far that is from x."""

    returned: np.ndarray  # (H, W) K^T K x, as it comes
    scale: float  # the factor that brings it nearest to x
    relative_error: float  # |scale K^T K x - x| / |x|: zero only if K^T undid K up to a factor
    psnr: float  # decibels between x and the scaled result, for values in [0, 1]; infinite when equal


def code_shape(shape: tuple[int, int], kernel_size: tuple[int, int], stride: int, padding: int) -> tuple[int, int]:
    """Height and width of the code of a picture of this shape.

    Raises:
        ImageError: The padded picture is smaller than the kernel.
        DeconvError: Stride below 1 or padding below 0.
    """
    _check_settings(stride, padding)
    rows, columns = ((side + 2 * padding - size) // stride + 1 for side, size in zip(shape, kernel_size, strict=True))
    if rows < 1 or columns < 1:
        raise ImageError(
            f"A kernel {kernel_size} with padding {padding} does not fit a picture {tuple(shape)}."
            " Use a larger picture, a smaller kernel or more padding."
        )
    return rows, columns


def convolve(image: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """K x: each code value is the sum of products of the kernel with one window of the picture.

    Args:
        image: x, shape (H, W).
        kernel: Shape (kh, kw), not flipped.
        stride: Pixels between neighbouring windows, 1 or more.
        padding: Zeros added on each side, 0 or more.

    Returns:
        float64 code of shape `code_shape((H, W), (kh, kw), stride, padding)`.

    Raises:
        ImageError: Not one channel, or smaller than the kernel.
        DeconvError: Stride or padding out of range, or a kernel that is not (kh, kw).

    Example:
        >>> convolve(np.arange(16.0).reshape(4, 4), np.ones((2, 2)), stride=2)
        array([[10., 18.],
               [42., 50.]])
    """
    image, kernel = _plane(image, "picture"), _check_kernel(kernel)
    rows, columns = code_shape(image.shape, kernel.shape, stride, padding)
    padded = np.pad(image, padding)
    code = np.zeros((rows, columns))
    for weight, window in _placements(kernel, (rows, columns), stride):
        code += weight * padded[window]
    return code


def transpose_convolve(
    code: np.ndarray,
    kernel: np.ndarray,
    stride: int = 1,
    padding: int = 0,
    output_shape: tuple[int, int] | None = None,
) -> np.ndarray:
    """K^T y: every code value places a weighted copy of the kernel; copies that overlap are added.

    The exact adjoint of `convolve` with the same kernel, stride and padding. With a stride, pictures of several sizes
    have codes of one size, so the wanted size can be given.

    Args:
        code: y, shape (h, w).
        kernel: Shape (kh, kw), the same as in `convolve`.
        stride: Pixels between neighbouring copies.
        padding: Rows and columns cut from each side at the end.
        output_shape: (H, W) of the picture; by default the smallest one with such a code.

    Returns:
        float64 picture of shape (H, W).

    Raises:
        ImageError: A code that is not (h, w), or no picture of `output_shape` has a code of this size.
        DeconvError: As in `convolve`.

    Example:
        >>> transpose_convolve(np.array([[1.0, 10.0]]), np.ones((1, 3)), stride=2)
        array([[ 1.,  1., 11., 10., 10.]])
    """
    code, kernel = _plane(code, "code"), _check_kernel(kernel)
    _check_settings(stride, padding)
    if output_shape is None:
        height, width = (
            (side - 1) * stride + size - 2 * padding for side, size in zip(code.shape, kernel.shape, strict=True)
        )
        if height < 1 or width < 1:
            raise ImageError(
                f"A code {code.shape} with a kernel {kernel.shape}, stride {stride} and padding {padding} leaves no"
                " picture. Use less padding."
            )
    else:
        height, width = output_shape
    if code_shape((height, width), kernel.shape, stride, padding) != code.shape:
        expected = code_shape((height, width), kernel.shape, stride, padding)
        raise ImageError(
            f"A picture ({height}, {width}) has a code {expected} with kernel {kernel.shape}, stride {stride} and"
            f" padding {padding}; got a code {code.shape}. Give the shape of the picture that was encoded."
        )
    padded = np.zeros((height + 2 * padding, width + 2 * padding))
    for weight, window in _placements(kernel, code.shape, stride):
        padded[window] += weight * code
    return padded[padding : padding + height, padding : padding + width]


def convolution_matrix(shape: tuple[int, int], kernel: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
    """The matrix of K for pictures of this shape, read row by row: one row per code value, one column per pixel.

    Its transpose is the matrix of `transpose_convolve`. For tiny pictures only.

    Raises:
        ImageError: More than 4 million entries, or as in `convolve`.
        DeconvError: As in `convolve`.
    """
    kernel = _check_kernel(kernel)
    rows, columns = code_shape(shape, kernel.shape, stride, padding)
    height, width = shape
    if rows * columns * height * width > MAX_MATRIX_ENTRIES:
        raise ImageError(
            f"The matrix of a convolution of {height} x {width} pixels has {rows * columns} x {height * width} entries;"
            f" at most {MAX_MATRIX_ENTRIES} are written out. Use a picture of about 32 x 32 or a larger stride."
        )
    matrix = np.zeros((rows, columns, height, width))
    for row in range(rows):
        for column in range(columns):
            top, left = row * stride - padding, column * stride - padding
            for down in range(kernel.shape[0]):
                for across in range(kernel.shape[1]):
                    if 0 <= top + down < height and 0 <= left + across < width:
                        matrix[row, column, top + down, left + across] = kernel[down, across]
    return matrix.reshape(rows * columns, height * width)


def adjoint_gap(
    image: np.ndarray,
    kernel: np.ndarray,
    stride: int = 1,
    padding: int = 0,
    *,
    code: np.ndarray | None = None,
    seed: int = 0,
) -> AdjointGap:
    """<K x, y> beside <x, K^T y>: equal up to rounding, whatever the picture, the code and the kernel.

    Args:
        image: x, shape (H, W).
        kernel: Shape (kh, kw).
        stride: As in `convolve`.
        padding: As in `convolve`.
        code: y; by default random values.
        seed: Seed of the random code.

    Returns:
        Both inner products and their relative difference (1e-10 or less in float64).

    Raises:
        ImageError: As in `convolve` and `transpose_convolve`.
        DeconvError: As in `convolve`.
    """
    image = _plane(image, "picture")
    forward = convolve(image, kernel, stride, padding)
    y = np.random.default_rng(seed).standard_normal(forward.shape) if code is None else _plane(code, "code")
    back = transpose_convolve(y, kernel, stride, padding, image.shape)
    in_code, in_picture = float(np.sum(forward * y)), float(np.sum(image * back))
    size = float(np.linalg.norm(forward) * np.linalg.norm(y))
    return AdjointGap(in_code, in_picture, abs(in_code - in_picture) / size if size > 0 else 0.0)


def inverse_gap(image: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> InverseGap:
    """How far K^T K x is from x, even after the best overall factor: the transpose is not the inverse.

    Args:
        image: x, shape (H, W), values in [0, 1].
        kernel: Shape (kh, kw).
        stride: As in `convolve`.
        padding: As in `convolve`.

    Returns:
        K^T K x, the best factor, the relative error and the PSNR with that factor.

    Raises:
        ImageError: As in `convolve`.
        DeconvError: As in `convolve`.
    """
    image = _plane(image, "picture")
    returned = transpose_convolve(convolve(image, kernel, stride, padding), kernel, stride, padding, image.shape)
    energy = float(np.sum(returned**2))
    scale = float(np.sum(returned * image)) / energy if energy > 0 else 0.0
    squares = float(np.mean((scale * returned - image) ** 2))
    size = float(np.linalg.norm(image))
    return InverseGap(
        returned=returned,
        scale=scale,
        relative_error=math.sqrt(squares * image.size) / size if size > 0 else 0.0,
        psnr=10 * math.log10(1 / squares) if squares > 0 else math.inf,
    )


@dataclass(frozen=True)
class LeastSquares:
    """The best way back from K x that any linear map could find."""

    returned: np.ndarray  # (H, W) K^+ K x
    relative_error: float  # |K^+ K x - x| / |x|: what K has thrown away for good
    rank: int  # directions of the picture that K keeps, of H * W


def least_squares_back(image: np.ndarray, kernel: np.ndarray, stride: int = 1, padding: int = 0) -> LeastSquares:
    """What the pseudo-inverse K^+ makes of K x: the smallest picture with that code. For tiny pictures only.

    Args:
        image: x, shape (H, W).
        kernel: Shape (kh, kw).
        stride: As in `convolve`.
        padding: As in `convolve`.

    Raises:
        ImageError: As in `convolution_matrix`.
        DeconvError: As in `convolve`.
    """
    image = _plane(image, "picture")
    matrix = convolution_matrix(image.shape, kernel, stride, padding)
    returned = (np.linalg.pinv(matrix) @ (matrix @ image.ravel())).reshape(image.shape)
    size = float(np.linalg.norm(image))
    off = float(np.linalg.norm(returned - image)) / size if size > 0 else 0.0
    return LeastSquares(returned, off, int(np.linalg.matrix_rank(matrix)))


def overlaps_evenly(kernel_size: tuple[int, int], stride: int) -> bool:
    """Whether every pixel away from the borders gets as many copies of the kernel: no checkerboard to unlearn."""
    return all(size % stride == 0 for size in kernel_size)


def overlap_count(
    shape: tuple[int, int], kernel_size: int | tuple[int, int], stride: int = 1, padding: int = 0
) -> np.ndarray:
    """How many copies of the kernel reach each pixel of a picture made by transposed convolution.

    Away from the borders the counts are all equal only if the stride divides the kernel size; otherwise they repeat
    in a checkerboard, which a network has to unlearn.

    Args:
        shape: (H, W) of the picture.
        kernel_size: Height and width of the kernel, or one number for both.
        stride: Pixels between neighbouring copies.
        padding: As in `transpose_convolve`.

    Returns:
        Whole numbers, shape (H, W).

    Raises:
        ImageError: As in `convolve`.
        DeconvError: As in `convolve`.

    References:
        Odena, Dumoulin and Olah (2016), Deconvolution and checkerboard artifacts, doi:10.23915/distill.00003.

    Example:
        >>> overlap_count((1, 9), (1, 3), stride=2)
        array([[1, 1, 2, 1, 2, 1, 2, 1, 1]])
    """
    size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    ones = np.ones(size)
    code = np.ones(code_shape(shape, size, stride, padding))
    return np.rint(transpose_convolve(code, ones, stride, padding, shape)).astype(np.int64)


def contributions(
    position: tuple[int, int],
    shape: tuple[int, int],
    kernel_size: int | tuple[int, int],
    stride: int = 1,
    padding: int = 0,
) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Which code values reach one pixel of the picture, and through which place of the kernel.

    Args:
        position: (row, column) of the pixel.
        shape: (H, W) of the picture.
        kernel_size: As in `overlap_count`.
        stride: As in `overlap_count`.
        padding: As in `overlap_count`.

    Returns:
        Pairs (place in the code, place in the kernel), row by row. The pixel is the sum over these pairs of code value
        times kernel value; their number is `overlap_count` there.

    Raises:
        ImageError: A position outside the picture, or as in `convolve`.
        DeconvError: As in `convolve`.
    """
    size = (kernel_size, kernel_size) if isinstance(kernel_size, int) else tuple(kernel_size)
    rows, columns = code_shape(shape, size, stride, padding)
    row, column = position
    if not (0 <= row < shape[0] and 0 <= column < shape[1]):
        raise ImageError(f"The pixel {tuple(position)} is outside the picture {tuple(shape)}. Choose one inside.")
    pairs = []
    for code_row in range(rows):
        down = row + padding - code_row * stride
        if not 0 <= down < size[0]:
            continue
        for code_column in range(columns):
            across = column + padding - code_column * stride
            if 0 <= across < size[1]:
                pairs.append(((code_row, code_column), (down, across)))
    return pairs


def _placements(
    kernel: np.ndarray, code_size: tuple[int, ...], stride: int
) -> Iterator[tuple[float, tuple[slice, slice]]]:
    """Each kernel value with the pixels that it meets, one per code value."""
    rows, columns = code_size
    for (down, across), weight in np.ndenumerate(kernel):
        yield (
            float(weight),
            (
                slice(down, down + (rows - 1) * stride + 1, stride),
                slice(across, across + (columns - 1) * stride + 1, stride),
            ),
        )


def _check_settings(stride: int, padding: int) -> None:
    if stride < 1 or padding < 0:
        raise DeconvError(
            f"A convolution got stride={stride} and padding={padding}; expected a stride of 1 or more and a padding of"
            " 0 or more. Change them."
        )


def _check_kernel(kernel: np.ndarray) -> np.ndarray:
    array = np.asarray(kernel, np.float64)
    if array.ndim != 2 or array.size == 0 or not np.isfinite(array).all():
        raise DeconvError(
            f"A kernel needs finite numbers in rows and columns (kh, kw); got the shape {np.shape(kernel)}."
            " Fill every cell with a number."
        )
    return array


def _plane(array: np.ndarray, what: str) -> np.ndarray:
    plane = np.asarray(array, np.float64)
    if plane.ndim != 2 or plane.size == 0:
        raise ImageError(
            f"Transposed convolution is shown on one channel: the {what} must be (height, width); got the shape"
            f" {np.shape(array)}. Take one channel, such as luma."
        )
    return plane
