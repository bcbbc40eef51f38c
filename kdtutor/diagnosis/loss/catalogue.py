"""Known mistakes in distillation losses: what is done, what it does, the right line. (`notes` has what may be meant.)

In braces stand the names that the loss itself uses: s, t, y, T, alpha.
"""

from collections.abc import Mapping

from kdtutor.diagnosis.findings import Finding
from kdtutor.diagnosis.loss.notes import NOTES

SOFT = 'soft = F.kl_div(F.log_softmax({s} / {T}, dim=-1), F.softmax({t} / {T}, dim=-1), reduction="batchmean")'
SEQUENCES = (
    "soft = F.kl_div(F.log_softmax({s} / {T}, dim=-1).flatten(0, -2), "
    'F.softmax({t} / {T}, dim=-1).flatten(0, -2), reduction="batchmean")'
)
HARD = "hard = F.cross_entropy({s}, {y})"
TOTAL = "loss = {alpha} * {T}**2 * soft + (1 - {alpha}) * hard"

MISTAKES: Mapping[str, tuple[str, str, str]] = {
    "kl_arguments_swapped": (
        "F.kl_div gets the teacher first; its first argument is the student's log-probabilities.",
        "It computes the other direction of KL, a meaningless number, or NaN.",
        SOFT,
    ),
    "reverse_kl": (
        "It computes KL(student ‖ teacher), the reverse of KL(teacher ‖ student): F.kl_div(a, q) is KL(q ‖ a).",
        "The student seeks one of the teacher's modes in place of covering all of them.",
        SOFT,
    ),
    "student_teacher_swapped": (
        "Student and teacher are swapped: the teacher's logits stand where the student's belong.",
        "The gradient flows to the teacher; the student isn't trained.",
        SOFT,
    ),
    "student_probabilities": (
        "The student's side holds probabilities where log-probabilities belong.",
        "The loss goes below 0, and its smallest value isn't where the student agrees with the teacher.",
        SOFT,
    ),
    "student_logits_raw": (
        "The student's side holds bare logits where log-probabilities belong.",
        "Nothing normalises them: all logits can grow together, and the loss has no lower bound.",
        SOFT,
    ),
    "teacher_log_probabilities": (
        "The teacher's side holds log-probabilities where probabilities belong (log_target isn't set).",
        "The value is NaN or meaningless, and the weights of the classes are negative: unlikely ones count most.",
        SOFT,
    ),
    "teacher_logits_raw": (
        "The teacher's side holds bare logits where probabilities belong.",
        "Targets are negative or don't sum to one: the value is NaN or meaningless.",
        SOFT,
    ),
    "log_target_with_probabilities": (
        "log_target=True is set, and the teacher's side holds no log-probabilities.",
        "F.kl_div takes the exponential of what it gets: the targets are nearly the same for all classes.",
        SOFT,
    ),
    "softmax_twice": (
        "Softmax is applied twice: to logits, and to the probabilities that come out.",
        "Probabilities differ by 1 at most: gradients are several times too small, and the loss stays far above 0.",
        HARD + "  # takes logits; and in the soft term: one softmax a side",
    ),
    "softmax_over_batch": (
        "Softmax runs over the batch in place of the classes.",
        "Each example's answer depends on the others in the batch; no row is a distribution over classes.",
        SOFT,
    ),
    "reduction_mean": (
        'The soft term is divided by B · C: reduction="mean" averages over the classes, too.',
        "It is C times too weak against the hard term: 10 times for ten digits, 1000 times on ImageNet.",
        SOFT,
    ),
    "batchmean_on_sequences": (
        "For logits (B, L, C) the soft term is divided by B alone, not by the B · L positions.",
        "It is L times too strong, and stronger for longer sequences.",
        SEQUENCES,
    ),
    "other_on_sequences": (
        "On logits (B, L, C) the soft term is another formula: with dim=1 softmax runs over positions, not classes.",
        "The student learns which positions are sure, not which classes.",
        SEQUENCES,
    ),
    "sum_with_mean": (
        "One term is summed over the batch and the other averaged.",
        "Their balance changes with the batch size: the sum is B times stronger.",
        SOFT,
    ),
    "batch_twice": ("The term is divided by the batch size twice.", "It is weaker in larger batches.", SOFT),
    "t2_missing": (
        "T² is left out.",
        "The soft gradients shrink as 1/T² when T grows, and with them the teacher's share of the loss.",
        TOTAL,
    ),
    "t_for_t2": (
        "The soft term is multiplied by T in place of T².",
        "The soft gradients still shrink, as 1/T, when T grows.",
        TOTAL,
    ),
    "t_power": (
        "The soft term is multiplied by T to the power of {power} in place of T².",
        "The balance of the terms changes with T.",
        TOTAL,
    ),
    "t2_on_hard": (
        "T² multiplies the hard term, too.",
        "Only the soft gradients shrink with T: now the hard term grows as T² against them.",
        TOTAL,
    ),
    "t2_in_one_branch": (
        "T² isn't in all branches: {where} the soft term's factor is {is_}, by the formula {would}.",
        "The loss jumps there, and runs with other settings of alpha can't be compared.",
        TOTAL,
    ),
    "branch": (
        "One branch has another formula: {where} a factor is {is_}, by the formula {would}.",
        "The loss jumps there, and runs with other settings of alpha can't be compared.",
        TOTAL,
    ),
    "temperature_teacher_only": (
        "The temperature divides the teacher's logits, and not the student's.",
        "The student copies a flattened teacher at T = 1: it learns to be unsure.",
        SOFT,
    ),
    "temperature_student_only": (
        "The temperature divides the student's logits, and not the teacher's.",
        "The student has to exaggerate its logits T times to match: it learns to be too sure.",
        SOFT,
    ),
    "temperature_differs": (
        "The two sides have different temperatures, {ts} for the student and {tt} for the teacher.",
        "The student copies a flattened or a sharpened teacher.",
        SOFT,
    ),
    "temperature_multiplied": (
        "Logits are multiplied by the temperature in place of divided.",
        "A high T sharpens where it should flatten: soft targets become hard ones.",
        SOFT,
    ),
    "temperature_twice": (
        "Logits are divided by the temperature twice.",
        "The targets are those of T²: far flatter than was asked for.",
        SOFT,
    ),
    "temperature_unused": (
        "The temperature changes neither side.",
        "It computes at T = 1 whatever is asked for; comparing temperatures shows nothing.",
        SOFT,
    ),
    "temperature_on_hard": (
        "The temperature divides the logits of the hard term, too.",
        "The hard term is weakened, and the student's own probabilities at T = 1 aren't trained.",
        HARD,
    ),
    "nll_of_probabilities": (
        "The hard term is -p(label), without the logarithm: F.nll_loss wants log-probabilities.",
        "Its gradient vanishes where the student is most wrong.",
        HARD,
    ),
    "hard_on_teacher": (
        "The hard term compares the labels with the teacher's logits, not the student's.",
        "The labels don't train the student.",
        HARD,
    ),
    "argmax": (
        "The hard term is made of predicted classes: argmax has no gradient.",
        "The term changes the number that is printed, and trains nothing.",
        HARD,
    ),
    "alpha_swapped": (
        "{alpha} weighs the hard term and 1 - {alpha} the soft one.",
        "If {alpha} is to be the weight of the soft term, as in this course, the terms have each other's weight; "
        "torchdistill and Keras mean it so.",
        TOTAL,
    ),
    "alpha_on_both": (
        "Both terms have the same weight in {alpha}.",
        "{alpha} changes the size of the loss, a learning rate in effect, and not the balance of its terms.",
        TOTAL,
    ),
    "teacher_with_itself": (
        "The soft term doesn't depend on the student: the teacher is compared with itself.",
        "It adds a number to the loss and no gradient.",
        SOFT,
    ),
    "teacher_unused": (
        "The teacher makes no difference: one tensor is compared with itself, or the soft term is left out, "
        "and the hard term has its weight all the same.",
        "There is no distillation: the student learns from labels alone, with a smaller step.",
        SOFT,
    ),
    "no_gradient": (
        "The student receives no gradient (detached, under no_grad, or made of predicted classes).",
        "Nothing is trained.",
        "{s} = student(inputs)  # not detached, and not under torch.no_grad()",
    ),
    "detached": (
        "The {term} term gives the student no gradient: its logits are detached there.",
        "That term changes the number that is printed, and trains nothing.",
        "{s} = student(inputs)  # not detached",
    ),
    "sign": (
        "The {term} term has the wrong sign.",
        "Training makes it worse: the student is driven away from what it should learn.",
        TOTAL,
    ),
    "in_place": (
        "It changes the logits that it is given, in place.",
        "Logits that were kept are divided by T once more in each epoch.",
        "{t} / {T}  # a new tensor; not {t} /= {T}",
    ),
    "nan": (
        "It returns NaN or infinity for ordinary logits.",
        "Training stops; usually log-probabilities stand where F.kl_div takes probabilities.",
        SOFT,
    ),
    "underflow": (
        "It is NaN or infinite where a probability underflows to 0, as log(softmax(z)) and p * (log p - log q) are.",
        "That takes logits some 100 · T apart in float32, 17 · T in half precision; then all weights become NaN.",
        "soft = F.kl_div(F.log_softmax({s} / {T}, dim=-1), F.log_softmax({t} / {T}, dim=-1), "
        'log_target=True, reduction="batchmean")',
    ),
}


def finding(name: str, **words: object) -> Finding:
    """An entry with the loss's own names put in."""
    return Finding(name, *(text.format(**words) for text in MISTAKES.get(name) or (*NOTES[name], "")))
