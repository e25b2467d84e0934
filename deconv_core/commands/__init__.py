"""One module for each command of the command line, listed in `deconv_core.__main__`; all are light to import."""
