"""kdtutor: knowledge distillation in PyTorch, taught and measured. The course's notebooks are its first users."""

from kdtutor import checkpoints, metrics, statistics
from kdtutor.data import Dataset, Split, jitter, load
from kdtutor.evaluation import evaluate, predict
from kdtutor.fitting import fit
from kdtutor.losses import DistillationLoss, distillation_loss, kl_divergence, soft_cross_entropy, soften
from kdtutor.models import cnn, count_parameters, mlp
from kdtutor.results import History, Table
from kdtutor.sweeps import sweep
from kdtutor.training import distill, train

__version__ = "0.1.0"
__all__ = [
    "Dataset", "DistillationLoss", "History", "Split", "Table", "checkpoints", "cnn", "count_parameters", "distill",
    "distillation_loss", "evaluate", "fit", "jitter", "kl_divergence", "load", "metrics", "mlp", "predict",
    "soft_cross_entropy", "soften", "statistics", "sweep", "train",
]  # fmt: skip
