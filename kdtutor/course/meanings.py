"""What a verdict of the ledger means, in plain words: by claim and verdict, so that a verdict that changes wants a new
sentence."""

MEANINGS = {
    ("generalises", "undecided"): (
        "The teacher's student does better than one of the labels. But the teacher has seen shifted images, and "
        "against labels on shifted images what is left of the gain may be luck."
    ),
    ("few labels", "holds"): (
        "With 1,000 labels the teacher's answers on the same images are worth about a sixth of the errors. A "
        "teacher that has only the same 1,000 labels helps as much."
    ),
    ("smooths", "holds"): "",
    ("look-alikes", "holds"): "The teacher's small probabilities are no accident of a few images.",
    ("mimics", "holds"): ("The student agrees with its teacher more often, also where the teacher is wrong."),
    ("T squared", "holds"): ("Roughly: without it the gradients would shrink by a factor of thousands."),
    ("less noise", "holds"): (
        "The noise of the gradients relative to their mean falls, the more the longer the training."
    ),
    ("higher rate", "fails"): (
        "With T² in the loss the largest stable learning rate is about four times lower. Without T² it is higher "
        "by T², as it must be."
    ),
    ("wrong labels", "holds"): (
        "A teacher stopped in time hasn't learnt the wrong labels yet, and passes on the rest."
    ),
    ("entropy", "holds"): "",
    ("capacity", "undecided"): (
        "Students of 100 units and of brief trainings gain; for 30 units nothing is certain after 10 epochs."
    ),
    ("capacity", "holds"): "Small students make fewer errors with the teacher than with labels.",
    ("missing class", "holds"): "Of what a 3 is, the answers on other digits say nearly all.",
    ("other transfer set", "fails"): (
        "Drawn digits instead of MNIST's cost many errors; shuffled pixels or noise teach next to nothing."
    ),
    ("ensemble", "undecided"): (
        "Ten networks of the same labels are hardly a better teacher than one. Ten networks of *different* labels "
        "are, because they know ten times as many; one network of all these labels teaches better still."
    ),
    ("ensemble", "no difference"): (
        "Ten networks of the same labels teach no better than one. Ten networks of *different* labels do, because "
        "they know ten times as many; one network of all these labels teaches better still."
    ),
    ("reverse", "fails"): ("A network of 10 units knows less than the labels, and its student learns that."),
    ("domain", "holds"): (
        "A teacher of MNIST's digits teaches USPS's, on unlabelled images of USPS, better than 1,000 labels do."
    ),
    ("multi-task", "fails"): ("The second task costs the teacher some of what it could have learnt of the first."),
    ("why smooth", "holds"): ("T = 1 is enough to learn most of the class that isn't there; a higher T does better."),
    ("faster", "holds"): ("The gain is about as large after 50 steps as after 2,800: a head start, not a faster pace."),
    ("script", "fails"): "Its teacher, trained for 3 epochs, is hardly better than the student.",
    ("patience", "undecided"): (
        "Long training on the teacher's answers pays. That the teacher must see the same shifted view as the "
        "student, its consistency, isn't certain here."
    ),
    ("patience", "holds"): ("Long training on the teacher's answers pays, and so does asking it about the same view."),
    ("smoothed teacher", "undecided"): "On both data sets its students did rather better than worse.",
    ("smoothed teacher", "fails"): "Its students did better, not worse.",
    ("better teacher", "holds"): (
        "In this range, from 10 to 300 units, the better teacher is the better one to learn from."
    ),
    ("small student", "holds"): (
        "The teacher, which knows all of MNIST's labels, answers 9,000 more images. Its bare class names do most "
        "of it; what its probabilities add may be luck. A teacher of only the same 1,000 labels helps, too."
    ),
    ("one rate", "holds"): (
        "The same two methods: at the lowest rate the student of the labels is ahead, at all others that of the "
        "teacher, and the more so the higher the rate."
    ),
    ("early-stopped teacher", "fails"): "A teacher stopped early is a worse network, and a worse teacher.",
    ("calibration", "undecided"): (
        "It depends on the situation: better for two layers of 100 units, worse, if anything, for 30. After "
        "temperature scaling there is hardly a difference."
    ),
    ("calibration", "fails"): (
        "It depends on the situation: better for two layers of 100 units, worse for 30. After temperature scaling "
        "there is hardly a difference."
    ),
    ("fidelity", "undecided"): "Chosen for agreement the student makes more errors, if anything.",
    ("fidelity", "fails"): ("Chosen for agreement the student makes more errors: it copies its teacher's, too."),
    ("variance", "holds"): "",
    ("born again", "undecided"): "Nothing is seen; the interval says how large a gain is ruled out.",
    ("born again", "no difference"): "No difference worth the name.",
    ("mutual", "undecided"): "Nothing is seen, and the interval is wide.",
    ("assistant", "undecided"): "Nothing is seen; the interval says how large a gain is ruled out.",
}
