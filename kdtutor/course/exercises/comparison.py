"""What is wrong with a learner's function: its outcomes are compared with the right ones, then with those of the known
mistakes, then by arithmetic."""

from collections.abc import Callable

from torch import Tensor

from kdtutor.course.answers import UNFILLED, difference, same
from kdtutor.course.answers.comparability import why_incomparable
from kdtutor.course.answers.relations import shared_relation
from kdtutor.course.exercises.calls import CALLS, WHERE
from kdtutor.course.exercises.errors import describe_error
from kdtutor.course.exercises.outcomes import (
    Outcome,
    argument_names,
    describe_call,
    gradient,
    outcome_of,
    right_outcomes,
)
from kdtutor.course.exercises.recognition import LOSSES, known_mistake, pattern, scaled_mistake
from kdtutor.course.exercises.words import as_continuation

DIAGNOSED = {"kl_from_logits", "distillation_loss"}  # losses of the form that `diagnose` knows
RETURN_LOGITS = {"prior_correction", "ensemble_logits"}  # known up to one constant per row, as logits are
UNSEEN = {"nan", "underflow", "no_gradient", "detached", "in_place"}  # findings that explain no value of our calls


def problem_with(name: str, function: Callable) -> str | None:
    """What is wrong with the function, in a sentence without a full stop; None if nothing is."""
    given = []
    for call in CALLS[name]:
        try:
            outcome = outcome_of(function, call)
        except Exception as error:  # whatever a learner's code raises is reported, not raised
            return f"{describe_call(function, call)}: {describe_error(error)}"
        if outcome.returned is ...:
            return UNFILLED
        given.append(outcome)

    wanted = right_outcomes(name)
    wrong = []  # places of the calls that come out wrong
    for place, (given_outcome, wanted_outcome) in enumerate(zip(given, wanted, strict=True)):
        if not _agree(name, given_outcome, wanted_outcome):
            wrong.append(place)

    if not wrong:
        return _side_effect(name, function, given, wanted) or _untrained(name, function)
    return (
        known_mistake(name, given)
        or pattern(name, given, wanted)
        or _diagnosed(name, function)
        or scaled_mistake(name, given, wanted)
        or _first_difference(name, function, given, wanted, wrong)
    )


def _agree(name: str, given: Outcome, wanted: Outcome) -> bool:
    logits = given.returned
    if name in RETURN_LOGITS and isinstance(logits, Tensor) and logits.is_floating_point():
        return same(logits.log_softmax(-1), wanted.returned.log_softmax(-1))
    return same(given.values, wanted.values)


def _side_effect(name: str, function: Callable, given: list[Outcome], wanted: list[Outcome]) -> str | None:
    """Right values, but in a dtype that hurts or at the cost of the arguments."""
    for given_outcome, wanted_outcome in zip(given, wanted, strict=True):
        if given_outcome.changed_arguments:
            argument = argument_names(function, CALLS[name][0])[given_outcome.changed_arguments[0]]
            return f"the values are right, but it changes {argument} in place: the caller still needs it as it was"
        if same(given_outcome.returned, wanted_outcome.returned):
            dtype_complaint = difference(given_outcome.returned, wanted_outcome.returned)
            if dtype_complaint:
                return dtype_complaint
    return None


def _untrained(name: str, loss: Callable) -> str | None:
    """Right values of a loss that don't train the student."""
    if name not in LOSSES:
        return None
    given = [gradient(loss, call) for call in CALLS[name]]
    wanted = [gradient(LOSSES[name], call) for call in CALLS[name]]
    if all(map(_same_gradient, given, wanted)):
        return None

    for student_gradient in given:
        if student_gradient is not None and student_gradient.isnan().any():
            return (
                "the values are right, but the student's gradient is NaN: torch.where and masks hide 0 · inf from the "
                "value and not from the gradient. Take F.kl_div, and -1e9 for -inf"
            )
        if student_gradient is not None and student_gradient.any():
            return "the values are right, but not the student's gradient: is a part detached, or taken out by .item()?"
    why = ".item(), .detach(), numpy or no_grad"
    return f"the values are right, but the student gets no gradient ({why}): it would train nothing"


def _same_gradient(given: Tensor | None, wanted: Tensor) -> bool:
    """Up to rounding, by the size of the largest number: of sums in float32 the small ones keep few digits."""
    if given is None:
        return False
    size = wanted.abs().max().clamp_min(1e-12)
    return same(given / size, wanted / size)


def _diagnosed(name: str, loss: Callable) -> str | None:
    """What `diagnose` says of a whole loss or of its soft term: it knows mistakes in pairs, too."""
    if name not in DIAGNOSED:
        return None
    from kdtutor.diagnosis import diagnose

    # `diagnose` knows an argument by its name, and a learner may have named them otherwise.
    def whole(student: Tensor, teacher: Tensor, labels: Tensor, temperature: float, alpha: float) -> Tensor:
        return loss(student, teacher, labels, temperature, alpha)

    def soft(student: Tensor, teacher: Tensor, temperature: float) -> Tensor:
        return loss(student, teacher, temperature)

    try:
        diagnosis = diagnose(whole if name == "distillation_loss" else soft, alpha="soft", strict=True)
    except Exception:  # it calls the loss on inputs of its own
        return None

    sentences = [mistake.what.rstrip(".") for mistake in diagnosis.mistakes if mistake.name not in UNSEEN]
    if not sentences:
        return None
    first, *others = sentences
    return "; and ".join([first, *map(as_continuation, others)])


def _first_difference(
    name: str, function: Callable, given: list[Outcome], wanted: list[Outcome], wrong: list[int]
) -> str:
    """How the first call differs of which that can be said, or what all calls that differ have in common."""
    differing = [place for place in wrong if not same(given[place].returned, wanted[place].returned)]
    if not differing:  # the values are right, the models were left in a wrong state
        place = wrong[0]
        return f"{describe_call(function, CALLS[name][place])}: {_models_left(given[place], wanted[place])}"

    for place in differing:
        sentence = why_incomparable(given[place].returned, wanted[place].returned)
        if sentence:
            return _of_a_call(name, function, place, sentence, wrong)

    given_values = tuple(given[place].returned for place in differing)
    wanted_values = tuple(wanted[place].returned for place in differing)
    constants = {}
    if name in LOSSES:
        constants["the batch size"] = len(CALLS[name][0][0])
    sentence = shared_relation(given_values, wanted_values, constants)
    if sentence and len(differing) > 1:
        return f"in all calls that differ: {sentence}"
    if not sentence:
        sentence = difference(given_values[0], wanted_values[0])
    return _of_a_call(name, function, differing[0], sentence, wrong)


def _of_a_call(name: str, function: Callable, place: int, sentence: str, wrong: list[int]) -> str:
    """The sentence with the call that it is about, and how many others are right."""
    call = describe_call(function, CALLS[name][place])
    where = WHERE.get(name, {}).get(place)
    if where:
        call = f"{call}, {where}"
    count = len(CALLS[name])
    if len(wrong) == count:
        return f"{call}: {sentence}"
    return f"{call}: {sentence}; {count - len(wrong)} of {count} calls come out right"


def _models_left(given: Outcome, wanted: Outcome) -> str:
    """How the models were left, where the value returned is right: the student is the first of them."""
    for role, given_state, wanted_state in zip(
        ("student", "teacher"), given.model_states, wanted.model_states, strict=True
    ):
        if not same(given_state.weights, wanted_state.weights):
            if role == "student":
                return "the value is right, but the student's weights aren't where one step of gradient descent leads"
            return "the value is right, but the teacher's weights have moved"
        if given_state.training != wanted_state.training:
            mode = "train" if given_state.training else "eval"
            return f"the value is right, but the {role} is left in {mode} mode"
    return "the value is right, but the teacher got gradients"
