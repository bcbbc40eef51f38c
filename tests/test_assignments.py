"""The graded assignments, without a grader: model answers get full marks, untouched ones a friendly sentence, and each
known mistake loses the points of the right tests, with its name."""

import re
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest

import kdtutor

FOLDER = Path(__file__).parent.parent / "notebooks"
NAMES = ("targets", "loss", "distillation")
HIDDEN = re.compile(r"^### BEGIN HIDDEN TESTS\n.*?^### END HIDDEN TESTS\n", re.MULTILINE | re.DOTALL)
SOLUTION = re.compile(r"^ *### BEGIN SOLUTION\n.*?^ *### END SOLUTION", re.MULTILINE | re.DOTALL)
STUB = "    return ...  # your code here"  # ClearSolutions.code_stub, instead of a solution
FEW = 500  # images to train on, where it doesn't matter what is learnt


@cache
def cells(name):
    """The code cells after the first, which is Colab's, by grade_id."""
    notebook = nbformat.read(FOLDER / "assignments" / f"{name}.ipynb", as_version=4)
    return {cell.metadata.nbgrader.grade_id: cell for cell in notebook.cells if cell.cell_type == "code"}


def kind(name, **wanted):
    """The ids of the cells with this nbgrader metadata, such as solution=True."""
    return [key for key, cell in cells(name).items() if wanted.items() <= cell.metadata.nbgrader.items()]


def below(name, solution):
    """The test cells below a solution cell, up to the next one."""
    after = list(cells(name))[list(cells(name)).index(solution) + 1 :]
    following = next((i for i, key in enumerate(after) if key in kind(name, solution=True)), len(after))
    return [key for key in after[:following] if key in kind(name, grade=True)]


def execute(sources, namespace):
    """Run cells in one namespace; what the assertions of each said, of those that failed."""
    failed = {}
    for key, source in sources.items():
        try:
            exec(compile(source, key, "exec"), namespace)
        except AssertionError as error:
            failed[key] = str(error)
    plt.close("all")
    return failed


def sources(name, keys=None, change=lambda source: source):
    every = {key: change(cell.source) for key, cell in cells(name).items() if key != "colab"}
    return every if keys is None else {key: every[key] for key in keys}


@pytest.fixture(scope="module", autouse=True)
def loaded_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kdtutor, "load", cache(kdtutor.load))
        yield


@contextmanager
def few_images():
    """Meanwhile there are few images to train on."""
    load = kdtutor.load

    def load_few(*names, **options):
        whole = load(*names, **options)
        return kdtutor.Dataset(whole.name, whole.train[:FEW], whole.validation, whole.test)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(kdtutor, "load", load_few)
        yield


@cache
def solved(name):
    """What the notebook's assertions said, and its namespace in the end."""
    namespace = {}
    return execute(sources(name), namespace), namespace


assignments = pytest.mark.parametrize("name", NAMES)


@assignments
def test_the_model_answers_pass_all_tests(name):
    assert solved(name)[0] == {}


@assignments
def test_the_tests_that_students_see_run_without_the_hidden_ones(name):
    """A name that a hidden test defines, or another test, would fail in their hands."""
    namespace = {}
    with few_images():
        no_tests = [key for key in cells(name) if key != "colab" and key not in kind(name, grade=True)]
        execute(sources(name, no_tests), namespace)
    if name == "distillation":  # trained once for all tests
        _, right = solved(name)
        namespace |= {"data": right["data"], "student": right["student"], "recipe": lambda *_: right["student"]}
    for key, source in sources(name, kind(name, grade=True), lambda source: HIDDEN.sub("", source)).items():
        assert "HIDDEN" not in source
        assert execute({key: source}, dict(namespace)) == {}


@assignments
@pytest.mark.parametrize("hidden", [False, True], ids=["released", "graded"])
def test_untouched_all_tests_fail_kindly_and_the_rest_runs(name, hidden):
    def untouched(source):
        return SOLUTION.sub(STUB, source if hidden else HIDDEN.sub("", source))

    with few_images():
        failed = execute(sources(name, change=untouched), {})
    assert list(failed) == kind(name, grade=True)
    assert [said for said in failed.values() if not said.startswith("not filled in yet")] == []


# For each solution cell: what is done wrong -> (a part of the model answer, what stands in its place, the tests that
# must fail, each with a part of its sentence). The other tests of the task must pass.
SMOOTH = {
    "shared by the wrong": (
        "+ epsilon / classes",
        "+ epsilon * (1 - one_hot) / (classes - 1)",
        {"smooth_test": "another convention"},
    ),
    "sums to 1 + eps": ("(1 - epsilon) * one_hot", "one_hot", {"smooth_test": "each row sums to 1 + epsilon"}),
    "weights swapped": (
        "(1 - epsilon) * one_hot + epsilon / classes",
        "epsilon * one_hot + (1 - epsilon) / classes",
        {"smooth_test": "the two weights are swapped"},
    ),
    "not divided by C": ("epsilon / classes", "epsilon", {"smooth_test": "not epsilon / C"}),
    "not smoothed": (
        "return (1 - epsilon) * one_hot + epsilon / classes",
        "return one_hot",
        {"smooth_test": "nothing is smoothed"},
    ),
}
REHEAT = {
    "taken for logits": (
        "probabilities.log() / temperature",
        "probabilities / temperature",
        {"reheat_test": "taken for logits", "reheat_extremes": ""},
    ),
    "T for 1 / T": (
        "/ temperature",
        "* temperature",
        {"reheat_test": "the exponent is T", "reheat_extremes": ""},
    ),
    "not normalised": (
        "(probabilities.log() / temperature).softmax(-1)",
        "(probabilities.log() / temperature).exp()",
        {"reheat_test": "aren't divided by their sum", "reheat_extremes": ""},
    ),
    "over the examples": (
        ".softmax(-1)",
        ".softmax(0)",
        {"reheat_test": "their sum over the examples", "reheat_extremes": ""},
    ),
    "epsilon": (
        "probabilities.log()",
        "(probabilities + 1e-8).log()",
        {"reheat_extremes": "an epsilon of 1e-08 inside the logarithm isn't harmless, at T = 3 it counts 0.002"},
    ),
    "underflow": (
        "return (probabilities.log() / temperature).softmax(-1)",
        "powers = probabilities ** (1 / temperature)\n    return powers / powers.sum(-1, keepdim=True)",
        {"reheat_extremes": "the powers underflow to 0 in float32"},
    ),
}
ENTROPY_CURVE = {
    "bits": (
        ".mean(-1)",
        ".mean(-1) / torch.tensor(2.0).log()",
        {"entropy_curve_test": "in bits", "entropy_curve_cold": ""},
    ),
    "T multiplied": (
        "logits / temperatures",
        "logits * temperatures",
        {"entropy_curve_test": "the logits are multiplied by T", "entropy_curve_cold": ""},
    ),
    "entropy of the mean": (
        "return -(log_p.exp() * log_p).sum(-1).mean(-1)",
        "return torch.special.entr(log_p.exp().mean(1)).sum(-1)",
        {"entropy_curve_test": "the entropy of the mean targets", "entropy_curve_cold": ""},
    ),
    "mean over classes": (
        ".sum(-1)",
        ".mean(-1)",
        {"entropy_curve_test": "divided by C = 5", "entropy_curve_cold": ""},
    ),
    "wrong sign": ("-(log_p", "(log_p", {"entropy_curve_test": "with the other sign", "entropy_curve_cold": ""}),
    "nan": (
        "-(log_p.exp() * log_p)",
        "-(log_p.exp() * log_p.exp().log())",
        {"entropy_curve_cold": "0 · log 0 is nan"},
    ),
}
TEMPERATURE_FOR_TOP = {
    "inverse": (
        "return (low * high) ** 0.5",
        "return (low * high) ** -0.5",
        {"temperature_for_top_test": "this is 1 / T"},
    ),
    "wrong way": (".max() > top", ".max() < top", {"temperature_for_top_test": "an end of its interval"}),
    "whole numbers": (
        "return (low * high) ** 0.5",
        "return min(range(1, 1001), key=lambda t: abs((logits / t).softmax(-1).max() - top))",
        {"temperature_for_top_test": ""},
    ),
    "rounded": (
        "return (low * high) ** 0.5",
        "return round((low * high) ** 0.5)",
        {"temperature_for_top_test": "the nearest whole number"},
    ),
    "two classes": (
        "return (low * high) ** 0.5",
        "first, second = logits.topk(2).values\n    return (first - second) / torch.tensor(top / (1 - top)).log()",
        {"temperature_for_top_test": "right for two classes only"},
    ),
    "cut short": ("range(60)", "range(8)", {"temperature_for_top_test": "near the right value"}),
}
REPAIR = {
    "nothing": ("return repaired", "return probabilities", {"repair_test": "nothing is repaired"}),
    "overwritten": (
        "repaired[rows, labels] = probabilities[rows, best]",
        "repaired[rows, labels] = repaired[rows, best]",
        {"repair_test": "overwrote what the second needs"},
    ),
    "raised": (
        "    repaired[rows, best] = probabilities[rows, labels]\n",
        "",
        {"repair_test": "the other class kept it as well"},
    ),
    "one-hot": (
        "return repaired",
        "return torch.eye(probabilities.shape[1])[labels]",
        {"repair_test": "all the targets became one-hot"},
    ),
    "wrong rows one-hot": (
        "return repaired",
        "repaired[best != labels] = torch.eye(probabilities.shape[1], dtype=repaired.dtype)[labels[best != labels]]\n"
        "    return repaired",
        {"repair_test": "what it says of the other classes is lost"},
    ),
}
DARK_SHARE = {
    "mean of shares": (
        "return 1 - first.mean() / torch.special.entr(p).sum(-1).mean()",
        "return (1 - first / torch.special.entr(p).sum(-1)).mean()",
        {"dark_share_test": "the mean of the examples' own shares"},
    ),
    "the first term": ("return 1 - first", "return first", {"dark_share_test": "this is the first term's share"}),
    "unweighted": (
        "return 1 - first.mean() /",
        "return (((torch.special.entr(p).sum(-1) - first) / (1 - right)).mean()) /",
        {"dark_share_test": "isn't weighted by 1 - p_y"},
    ),
    "a sum's share": (
        "+ torch.special.entr(1 - right)",
        "",
        {"dark_share_test": "counts part of the first question"},
    ),
    "the teacher's choice": (
        "p.gather(1, labels[:, None])[:, 0]",
        "p.amax(1)",
        {"dark_share_test": "taken for the label"},
    ),
}
SHARED_KL = {
    "reversed": (
        "log_p.exp() * (log_p - log_q)",
        "log_q.exp() * (log_q - log_p)",
        {"shared_kl_test": "KL(student || teacher)", "shared_kl_extremes": ""},
    ),
    "picked afterwards": (
        "F.log_softmax(student_logits[:, classes] / temperature, dim=1)  # (B, K)\n"
        "    log_p = F.log_softmax(teacher_logits[:, classes] / temperature, dim=1)",
        "F.log_softmax(student_logits / temperature, dim=1)[:, classes]\n"
        "    log_p = F.log_softmax(teacher_logits / temperature, dim=1)[:, classes]",
        {"shared_kl_test": "so this is no KL", "shared_kl_extremes": ""},
    ),
    "mean over classes": (".sum(1)", ".mean(1)", {"shared_kl_test": "divided by K = 3", "shared_kl_extremes": ""}),
    "T on one side": (
        "teacher_logits[:, classes] / temperature",
        "teacher_logits[:, classes]",
        {"shared_kl_test": "only the student's logits are divided by T"},
    ),
    "T on the other side": (
        "student_logits[:, classes] / temperature",
        "student_logits[:, classes]",
        {"shared_kl_test": "copy a flattened teacher"},
    ),
    "T² inside": (".sum(1)", ".sum(1) * temperature**2", {"shared_kl_test": "the factor T²"}),
    "log(softmax)": (
        "return (log_p.exp() * (log_p - log_q)).sum(1)",
        "return (log_p.exp() * (log_p.exp().log() - log_q.exp().log())).sum(1)",
        {"shared_kl_extremes": "never leaves the logarithms"},
    ),
    "epsilon": (
        "return (log_p.exp() * (log_p - log_q)).sum(1)",
        "return (log_p.exp() * ((log_p.exp() + 1e-8).log() - (log_q.exp() + 1e-8).log())).sum(1)",
        {"shared_kl_extremes": "never further away than 18 nats"},
    ),
}
REVERSE_GRADIENT = {
    "forward": (
        "return q * (gap - (q * gap).sum(1, keepdim=True))",
        "return (q - log_p.exp())",
        {"reverse_gradient_test": "the gradient of the forward KL"},
    ),
    "not centred": (
        "(gap - (q * gap).sum(1, keepdim=True))",
        "gap",
        {"reverse_gradient_test": "forgets that softmax normalises"},
    ),
    "1 / T missing": (" / temperature\n    ###", "\n    ###", {"reverse_gradient_test": "1 / T from the chain rule"}),
    "in q": (
        "return q * (gap - (q * gap).sum(1, keepdim=True)) / temperature",
        "return gap + 1",
        {"reverse_gradient_test": "the chain rule through softmax is missing"},
    ),
    "over the batch": (
        "/ temperature\n    ###",
        "/ temperature / len(q)\n    ###",
        {"reverse_gradient_test": "each example's own gradient"},
    ),
    "centred under p": (
        "(q * gap).sum",
        "(log_p.exp() * gap).sum",
        {"reverse_gradient_test": "the mean gap is taken under p"},
    ),
}
ALL_LOSS = {"loss_labelled": "", "loss_unlabelled": "", "loss_none_labelled": ""}
LOSS = {
    "T² missing": ("temperature**2 * soft", "soft", ALL_LOSS | {"loss_labelled": "T²"}),
    "alpha swapped": (
        "alpha * temperature**2 * soft + (1 - alpha) * hard",
        "(1 - alpha) * temperature**2 * soft + alpha * hard",
        ALL_LOSS | {"loss_labelled": "alpha"},
    ),
    "reversed": (
        "log_p.exp() * (log_p - log_q)",
        "log_q.exp() * (log_q - log_p)",
        ALL_LOSS | {"loss_labelled": ""},
    ),
    "mean over classes": (".sum(1).mean()", ".mean()", ALL_LOSS | {"loss_labelled": "class"}),
    "hard term softened": (
        "F.cross_entropy(student_logits[labelled],",
        "F.cross_entropy(student_logits[labelled] / temperature,",
        {"loss_labelled": "hard term", "loss_unlabelled": ""},
    ),
    "divided by B": (
        "labels[labelled])",
        'labels[labelled], reduction="sum") / len(labels)',
        {"loss_unlabelled": "divided by all B examples"},
    ),
    "soft term on the labelled": (
        "(log_p.exp() * (log_p - log_q)).sum(1).mean()\n    labelled = labels >= 0",
        "(log_p.exp() * (log_p - log_q)).sum(1)\n    labelled = labels >= 0\n"
        "    soft = soft[labelled].mean() if labelled.any() else 0 * soft.sum()",
        {
            "loss_unlabelled": "left out of the soft term",
            "loss_none_labelled": "the soft term is dropped as well",
        },
    ),
    "class 0": (
        "labelled = labels >= 0",
        "labels = labels.clamp(min=0)\n    labelled = labels >= 0",
        {"loss_unlabelled": "-1 is taken for class 0", "loss_none_labelled": ""},
    ),
    "pseudo-labels": (
        "labelled = labels >= 0",
        "labels = torch.where(labels >= 0, labels, teacher_logits.argmax(1))\n    labelled = labels >= 0",
        {"loss_unlabelled": "the teacher's choice stands in", "loss_none_labelled": ""},
    ),
    "0 / 0": (" if labelled.any() else 0", "", {"loss_none_labelled": "0 / 0"}),
    "alpha becomes 1": (
        "return alpha *",
        "alpha = alpha if labelled.any() else 1.0\n    return alpha *",
        {"loss_none_labelled": "alpha stays what it is"},
    ),
}
SEQUENCE_LOSS = {
    "batchmean": (
        ".sum(-1).mean()",
        ".sum() / len(real)",
        {"sequence_loss_test": "divided by the B = 3 sequences alone", "sequence_loss_padding": ""},
    ),
    "B · L": (
        ".sum(-1).mean()",
        ".sum() / real.numel()",
        {"sequence_loss_test": "divided by all B · L positions", "sequence_loss_padding": ""},
    ),
    "padding counts": (
        "_logits[real]",
        "_logits",
        {"sequence_loss_test": "the padded positions are in the mean", "sequence_loss_padding": ""},
    ),
    "mean of means": (
        "(log_p.exp() * (log_p - log_q)).sum(-1).mean()",
        "torch.stack([part.mean() for part in (log_p.exp() * (log_p - log_q)).sum(-1).split(real.sum(1).tolist())])"
        ".mean()",
        {"sequence_loss_test": "each sequence's mean is taken first", "sequence_loss_padding": ""},
    ),
    "mask reversed": (
        "_logits[real]",
        "_logits[~real]",
        {"sequence_loss_test": "the wrong way round", "sequence_loss_padding": ""},
    ),
    "0 · nan": (
        "    log_q =",
        "    return temperature**2 * (F.kl_div(F.log_softmax(student_logits / temperature, -1),\n"
        "        F.softmax(teacher_logits / temperature, -1), reduction='none').sum(-1) * real).sum() / real.sum()\n"
        "    log_q =",
        {"sequence_loss_padding": "0 · nan is nan"},
    ),
    "where": (
        "    log_q =",
        "    each = F.kl_div(F.log_softmax(student_logits / temperature, -1),\n"
        "        F.softmax(teacher_logits / temperature, -1), reduction='none').sum(-1)\n"
        "    return temperature**2 * torch.where(real, each, 0).sum() / real.sum()\n"
        "    log_q =",
        {"sequence_loss_padding": "the padding's gradient is nan"},
    ),
}
WEIGHTED_LOSS = {
    "divided by B": (
        ".sum() / weights.sum()",
        ".mean()",
        {"weighted_loss_test": "divided by B, not by the sum of the weights"},
    ),
    "not divided": (" / weights.sum()", "", {"weighted_loss_test": "isn't divided by the sum of the weights"}),
    "mean T²": (
        "temperatures**2 *",
        "(temperatures**2).mean() *",
        {"weighted_loss_test": "the mean T² stands before the sum"},
    ),
    "T² missing": ("temperatures**2 *", "", {"weighted_loss_test": "T_i² is missing"}),
    "along the classes": (
        "temperatures[:, None]",
        "temperatures",
        {"weighted_loss_test": "the temperatures lie along the classes"},
    ),
    "unweighted": (
        "(weights * each).sum() / weights.sum()",
        "each.mean()",
        {"weighted_loss_test": "the weights aren't used"},
    ),
}
ASK = {
    "train mode": (
        "teacher.eval()",
        "teacher.train()",
        {"ask_test": "the teacher answered in train mode", "ask_manners": "in train mode batch norm learns"},
    ),
    "not scaled": ("images.float() / 255", "images.float()", {"ask_test": "weren't divided by 255"}),
    "mean probability": (
        "answers.mean(0)",
        "answers.softmax(-1).mean(0).log()",
        {"ask_test": "the logarithm of the mean probability", "ask_manners": ""},
    ),
    "sum": ("answers.mean(0)", "answers.sum(0)", {"ask_test": "the sum over the views"}),
    "one blurred image": (
        "[teacher(images.float() / 255) for images in views]",
        "[teacher(views.float().mean(0) / 255)]",
        {"ask_test": "one blurred image"},
    ),
    "gradients": ("with torch.no_grad()", "with torch.enable_grad()", {"ask_manners": "eval() doesn't stop gradients"}),
    "left in eval mode": (
        "teacher.train(was_training)",
        "pass",
        {"ask_manners": "came in train mode and was left in eval mode"},
    ),
    "left in train mode": (
        "teacher.train(was_training)",
        "teacher.train()",
        {"ask_manners": "came in eval mode and was left in train mode"},
    ),
}
MAKE_STUDENT = {
    "over the budget": (
        "nn.Linear(24 * 7 * 7, 10)",
        "nn.Linear(24 * 7 * 7, 20), nn.Linear(20, 10)",
        {"make_student_test": "26,678 parameters: over the budget"},
    ),
    "softmax": (
        "nn.Linear(24 * 7 * 7, 10),",
        "nn.Linear(24 * 7 * 7, 10), nn.Softmax(1),",
        {"make_student_test": "ends in a softmax"},
    ),
    "log_softmax": (
        "nn.Linear(24 * 7 * 7, 10),",
        "nn.Linear(24 * 7 * 7, 10), nn.LogSoftmax(1),",
        {"make_student_test": "ends in a log_softmax"},
    ),
    "no seed": ("torch.manual_seed(seed)", "pass", {"make_student_test": "the same seed gave other"}),
    "one seed": ("manual_seed(seed)", "manual_seed(0)", {"make_student_test": "another seed gave the same"}),
    "nine classes": ("7, 10)", "7, 9)", {"make_student_test": "logits (7, 10) are wanted"}),
}
DISTILL = {
    "T² missing": (
        "alpha * temperature**2 *",
        "alpha *",
        {"distill_step": "the factor T² is missing", "distill_rows": "in no order"},
    ),
    "mean over classes": (
        'reduction="batchmean"',
        'reduction="mean"',
        {"distill_step": "divided by C = 5", "distill_rows": "in no order"},
    ),
    "hard term softened": (
        "F.cross_entropy(logits,",
        "F.cross_entropy(logits / temperature,",
        {"distill_step": "the hard term is taken at temperature T", "distill_rows": "in no order"},
    ),
    "not scaled": (
        "images[rows].float() / 255",
        "images[rows].float()",
        {"distill_step": "weren't divided by 255", "distill_rows": "in no order"},
    ),
    "uphill": (
        "value.backward()",
        "(-value).backward()",
        {"distill_step": "the student climbs", "distill_rows": "in no order"},
    ),
    "no zero_grad": (
        "            steps.zero_grad()\n",
        "",
        {"distill_step": "zero_grad() is missing", "distill_rows": "in no order"},
    ),
    "no step": (
        "            steps.step()\n",
        "",
        {"distill_step": "weights haven't moved", "distill_rows": "in no order"},
    ),
    "images shuffled, targets not": (
        "        for rows in torch.randperm(len(images), generator=generator)",
        "        images = images[torch.randperm(len(images), generator=generator)]\n"
        "        for rows in torch.arange(len(images))",
        {"distill_rows": "another image's targets"},
    ),
    "labels of the next": (
        "labels[rows]",
        "labels[(rows + 1) % len(images)]",
        {"distill_rows": "another image's label"},
    ),
    "never shuffled": (
        "torch.randperm(len(images), generator=generator)",
        "torch.arange(len(images))",
        {"distill_rows": "in the same order whatever the seed"},
    ),
    "shuffled once": (
        "    for _ in range(epochs):\n        for rows in torch.randperm(len(images), generator=generator)",
        "    once = torch.randperm(len(images), generator=generator)\n"
        "    for _ in range(epochs):\n        for rows in once",
        {"distill_rows": "all epochs take the examples in one order"},
    ),
    "seed unused": (", generator=generator", "", {"distill_rows": "the same seed gave other weights"}),
    "last batch dropped": (
        "            logits = student",
        "            if len(rows) < batch_size:\n                continue\n            logits = student",
        {"distill_rows": "the last, smaller batch was left out"},
    ),
    "one batch": (".split(batch_size)", ".split(len(images))", {"distill_rows": "batch_size isn't used"}),
    "eval mode": ("student.train()", "pass", {"distill_modes": "trained in it"}),
    "train mode left": ("return student.eval()", "return student", {"distill_modes": "handed back in train mode"}),
}
NONE = "there is no student to measure"
RECIPE = {
    "over the budget": (
        "make_student(0),\n        teacher_logits,\n        images,",
        "nn.Sequential(nn.Flatten(), nn.Linear(784, 30), nn.ReLU(), nn.Linear(30, 10)),\n"
        "        teacher_logits[:500],\n        images[:500],",
        {"recipe_budget": "23,860 parameters", "recipe_1000": NONE, "recipe_400": NONE, "recipe_250": NONE},
    ),
    "the training's history": (
        "return distill(",
        "return list(images[:2])\n    return distill(",
        {
            "recipe_budget": "must return the trained student",
            "recipe_1000": NONE,
            "recipe_400": NONE,
            "recipe_250": NONE,
        },
    ),
    "fully connected": (
        "make_student(0)",
        "nn.Sequential(nn.Flatten(), nn.Linear(784, 24), nn.ReLU(), nn.Linear(24, 10))",
        {"recipe_400": "more than 400", "recipe_250": "more than 250"},
    ),
    "other images' rows": (
        "        teacher_logits,\n        images,",
        "        teacher_logits[:500].flip(0),\n        images[:500],",
        {
            "recipe_budget": "nothing was learnt",
            "recipe_1000": "more than 1,000",
            "recipe_400": "more than 400",
            "recipe_250": "more than 250",
        },
    ),
    "a single epoch": ("epochs=10", "epochs=1", {"recipe_400": "more than 400", "recipe_250": "more than 250"}),
}
MUTANTS = {
    "targets": {
        "smooth": SMOOTH,
        "reheat": REHEAT,
        "entropy_curve": ENTROPY_CURVE,
        "temperature_for_top": TEMPERATURE_FOR_TOP,
        "repair": REPAIR,
        "dark_share": DARK_SHARE,
    },
    "loss": {
        "shared_kl": SHARED_KL,
        "reverse_gradient": REVERSE_GRADIENT,
        "loss": LOSS,
        "sequence_loss": SEQUENCE_LOSS,
        "weighted_loss": WEIGHTED_LOSS,
    },
    "distillation": {"ask": ASK, "make_student": MAKE_STUDENT, "distill": DISTILL, "recipe": RECIPE},
}
CASES = [
    pytest.param(name, solution, *mutant, id=f"{solution}: {mistake}")
    for name, tasks in MUTANTS.items()
    for solution, mutants in tasks.items()
    for mistake, mutant in mutants.items()
]


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize(("name", "solution", "old", "new", "fails"), CASES)
def test_a_mistake_fails_the_right_tests_and_is_named(name, solution, old, new, fails):
    namespace = dict(solved(name)[1])
    right = cells(name)[solution].source
    assert old in right
    failed = execute({solution: right.replace(old, new)} | sources(name, below(name, solution)), namespace)
    assert set(failed) == set(fails), failed
    assert [(key, said) for key, said in failed.items() if fails[key] not in said] == []


@pytest.mark.filterwarnings("ignore:reduction")
@pytest.mark.parametrize("dim", [1, -1])
def test_a_loss_for_logits_of_two_dimensions_may_be_wrong_for_sequences(dim):
    right = cells("loss")["loss"].source.replace("dim=1", f"dim={dim}")
    batchmean = right.replace(
        "(log_p.exp() * (log_p - log_q)).sum(1).mean()", 'F.kl_div(log_q, log_p.exp(), reduction="batchmean")'
    )
    assert batchmean != right
    for source in (right, batchmean):
        assert execute({"loss": source} | sources("loss", below("loss", "loss")), dict(solved("loss")[1])) == {}


@assignments
def test_each_assignment_is_worth_100_points(name):
    points = {key: cells(name)[key].metadata.nbgrader.points for key in kind(name, grade=True)}
    assert sum(points.values()) == 100
    assert min(points.values()) >= 5


@assignments
def test_each_task_has_its_mistakes(name):
    assert list(MUTANTS[name]) == kind(name, solution=True)
    assert all(len(mutants) >= 4 for mutants in MUTANTS[name].values())
    missed = {key for mutants in MUTANTS[name].values() for *_, fails in mutants.values() for key in fails}
    assert missed == {*kind(name, grade=True)}, "every test is failed by some mistake"


@assignments
def test_the_notebook_is_as_nbgrader_wants_it(name):
    notebook = nbformat.read(FOLDER / "assignments" / f"{name}.ipynb", as_version=4)
    nbformat.validate(notebook)
    marks = [cell.metadata.nbgrader for cell in notebook.cells]
    ids = [mark.grade_id for mark in marks]
    assert len({*ids}) == len(ids)
    assert ids == [cell.id for cell in notebook.cells]
    for mark, cell in zip(marks, notebook.cells, strict=True):
        assert mark.schema_version == 3
        assert mark.task is False
        assert mark.locked is not mark.solution
        assert ("points" in mark) is mark.grade
        assert not (mark.grade and mark.solution)
        assert bool(SOLUTION.search(cell.source)) is mark.solution
        assert bool(HIDDEN.search(cell.source)) is mark.grade
        assert cell.source.count("###") == (2 if mark.grade or mark.solution else 0)
    assert all(below(name, solution) for solution in kind(name, solution=True))


@assignments
def test_the_notebook_was_executed_from_top_to_bottom(name):
    notebook = nbformat.read(FOLDER / "assignments" / f"{name}.ipynb", as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in codes] == list(range(1, len(codes) + 1))
    assert not [output for cell in codes for output in cell.outputs if output.output_type == "error"]
    assert all(cell.outputs for cell in codes if cell.metadata.nbgrader.grade)
    assert not any("execution" in cell.metadata for cell in codes)


def test_a_recipe_has_five_minutes():
    assert cells("distillation")["recipe"].metadata.kdtutor == {"seconds": 300}
