"""What is right in a distillation loss, or right if it is meant so, and worth a note: what is done, what it does. In
braces stand words of the loss's own."""

from collections.abc import Mapping

NOTES: Mapping[str, tuple[str, str]] = {
    "teacher_gradient": (
        "Gradients flow to the teacher's logits, too.",
        "Compute those under torch.no_grad().",
    ),
    "teacher_ignored": ("It doesn't use the teacher.", "It is cross-entropy alone, as with alpha = 0."),
    "t2_left_to_you": (
        "The soft term comes without T².",
        "Multiply by T² where a hard term is added: the soft gradients shrink as 1/T².",
    ),
    "sum": ("It is a sum over the batch.", "The step grows with the batch size: choose the learning rate for it."),
    "constant_factor": ("There is a constant factor: {factor}.", "{effect}"),
    "divided": ("Everything is divided by T², or a power of T.", "The balance is right; the step shrinks with T."),
    "weights": (
        "The weights are {soft} and {hard}.",
        "Whether T² is in them can't be told; if it is, the soft term's share is {share}.",
    ),
    "alpha_unused": ("{alpha} changes nothing.", "The balance of the terms is fixed inside."),
    "weighted": (
        "Examples have weights of their own, up to {high} times the mean.",
        "Whether the reduction and T² are right can't be told of them.",
    ),
    "sharpened": ("The temperature is below 1: {ts}.", "It sharpens, as logits would that are multiplied by T."),
    "hard_targets": ("The target is the teacher's predicted class.", "That is hard distillation, as in DeiT."),
    "other_term": ("The soft term is {form}.", "It is a method of its own, not Hinton's."),
    "other_hard": ("The hard term is {form}.", "It isn't cross-entropy."),
    "soft_cross_entropy": (
        "The soft term is cross-entropy in place of KL.",
        "They differ by the teacher's entropy, which has no gradient in the student.",
    ),
    "label_smoothing": ("The labels are smoothed.", "A share of the hard term pulls to equal probabilities."),
    "student_term": ("A further term is of the student alone: {form}.", "It acts whatever the teacher says."),
    "clamped": (
        "For logits far apart it isn't this formula: something is clamped, or a small number added to probabilities.",
        "There the student may get no gradient; log_softmax needs no such help.",
    ),
}
