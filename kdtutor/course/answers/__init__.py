"""Is a learner's answer right, and if not, what is it? The difference between the value that came and the right one is
named: by a known mistake that leads to just this value, by a relation that arithmetic finds, or by showing both::

    expect(loss, 0.25, {"this is in bits, nats are wanted": 0.25 / math.log(2)})

Knows nothing of exercises, notebooks or distillation.
"""

from kdtutor.course.answers.differences import UNFILLED, difference, expect
from kdtutor.course.answers.relations import relation
from kdtutor.course.answers.values import same, show

__all__ = ["UNFILLED", "difference", "expect", "relation", "same", "show"]
