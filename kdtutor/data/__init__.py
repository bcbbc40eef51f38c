"""Data in memory: MNIST, USPS, Fashion-MNIST, the built-in digits, splits and batches."""

from kdtutor.data.batches import Augment, Data, as_input, batches
from kdtutor.data.files import DataError
from kdtutor.data.loading import folder, load, places, shipped
from kdtutor.data.splits import Dataset, JitteredSplit, Split, jitter, label_noise, like_mnist, shifted, subset, without

__all__ = [
    "Augment", "Data", "DataError", "Dataset", "JitteredSplit", "Split", "as_input", "batches", "folder", "jitter",
    "label_noise", "like_mnist", "load", "places", "shifted", "shipped", "subset", "without",
]  # fmt: skip
