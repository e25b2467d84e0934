"""Judge images by reconstruction: encode by convolution and pooling, recover by deconvolution, compare.

The core computes and never draws. Heavy libraries (TensorFlow, pandas, SciPy) are imported where they are used, so
`import deconv_core` stays light; the public modules are `images`, `samples`, `distortions`, `metrics`, `models`,
`scoring` and `training`.
"""

__version__ = "0.1.0"
