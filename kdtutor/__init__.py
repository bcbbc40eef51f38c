"""kdtutor: knowledge distillation in PyTorch, taught and measured. The course's notebooks are its first users."""

from kdtutor.data import Dataset, Split, jitter, load
from kdtutor.losses import DistillationLoss, distillation_loss, kl_divergence, soft_cross_entropy, soften
from kdtutor.models import cnn, count_parameters, mlp
from kdtutor.training import History, distill, predict, train

__version__ = "0.1.0"
__all__ = [
    "Dataset", "DistillationLoss", "History", "Split", "cnn", "count_parameters", "distill", "distillation_loss",
    "jitter", "kl_divergence", "load", "mlp", "predict", "soft_cross_entropy", "soften", "train",
]  # fmt: skip
