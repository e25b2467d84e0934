"""The few exceptions of the core; a page treats each kind differently."""


class DeconvError(ValueError):
    """A request that cannot be answered: the message says what arrived, what was expected and what to do."""


class ImageError(DeconvError):
    """A picture, or a pair of pictures, that cannot be used."""


class ModelError(DeconvError):
    """A model file or a model's settings that cannot be used."""


class JobError(DeconvError):
    """A job folder or a job's process that cannot be used."""
