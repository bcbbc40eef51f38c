"""A difference is named rightly, and only where arithmetic is certain."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from kdtutor.course.answers import difference, expect, relation, same, show

P = torch.rand(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64).softmax(-1)
V = torch.tensor([1.0, 2.0, 4.0, 8.0, 16.0], dtype=torch.float64)
LOOK = "look for log(0), 0 · inf, 0 / 0, or exp of a large number"
INDICES = torch.tensor([2, 0, 1])


@pytest.mark.parametrize(
    "right",
    [
        P,
        P.float(),
        P.numpy(),
        P.tolist(),
        P.clone().requires_grad_(),
        P * (1 + 1e-5),
        P.to_sparse(),
        [row.tolist() for row in P],
    ],
    ids=lambda value: type(value).__name__,
)
def test_right_values_are_right_however_they_come(right):
    assert difference(right, P) is None
    expect(right, P)


@pytest.mark.parametrize(
    ("right", "wanted"),
    [
        (3, 3.0),
        (torch.tensor(3), 3.0),
        (np.float32(3), torch.tensor(3.0)),
        ((1, torch.tensor(2.0)), (1.0, 2.0)),
        (np.array([1.0, 2.0]), (1.0, 2.0)),
        ([1, 2], torch.tensor([1.0, 2.0])),
        ("text", "text"),
        (torch.tensor([True]), torch.tensor([True])),
        (math.nan, math.nan),
    ],
    ids=str,
)
def test_a_number_or_a_list_may_stand_for_a_tensor(right, wanted):
    assert difference(right, wanted) is None


@pytest.mark.parametrize(
    ("wrong", "wanted", "sentence"),
    [
        (..., P, "not filled in yet"),
        ((..., ...), (1, 2), "a part of this is not filled in yet"),
        (None, P, "this is None: is a `return` missing?"),
        ("text", P, "this is 'text' (str): numbers are wanted"),
        ({}, P, "this is {} (dict): numbers are wanted"),
        ([*P], P, "this is a list of 3 tensors: torch.stack or torch.cat makes one of them"),
        (P + 1j, P, "this is complex: real numbers are wanted"),
        (True, 1.0, "the values are right, but in torch.bool: numbers are wanted"),
        (INDICES.float(), INDICES, "the values are right, but in torch.float32: indices are whole numbers"),
        (INDICES, INDICES.float(),
         "the values are right, but in torch.int64: floating point is wanted, as losses take it"),
        ((1, 2), (1, 2, 3), "3 values are wanted, in a tuple; 2 came"),
        (1, (1, 2, 3), "3 values are wanted, in a tuple; one came"),
        (P.T, P, "this is the right value transposed"),
        (P[:, :3] @ P[:, :3].T.inverse(), P[:, :3].T @ P[:, :3], None),
        (V[:, None], V,
         "the values are right, but the shape is (5, 1), (5,) is wanted: an axis of length 1 too many or too few"),
        (P, P.mean(1), "the mean over axis 1 is missing, it would be right then; the shape is (3, 4), (3,) is wanted"),
        (P, P.sum(), "the sum over all is missing, it would be right then; the shape is (3, 4), () is wanted"),
        (V.sum(), V,
         "this is the sum of the right values over axis 0: one value for each is wanted; "
         "the shape is (), (5,) is wanted"),
        (P[:, :3], P, "the shape is (3, 3), (3, 4) is wanted"),
        (P.log() * 0 / 0, P, f"12 of 12 values came out nan, not finite: {LOOK}"),
        (math.inf, 1.0, f"this came out infinite, not finite: {LOOK}"),
        (-P, P, "this is the right value with the other sign"),
        (P / math.log(2), P, "this is the right value times 1.443: bits instead of nats"),
        (P * math.log(2), P, "this is the right value divided by 1.443: nats instead of bits"),
        (P / 4, P, "this is the right value divided by 4, the number of columns"),
        (P * 3, P, "this is the right value times 3, the number of rows"),
        (P * 2.5, P, "this is the right value times 2.5"),
        (V - 3, V, "this is the right value minus 3 in every place"),
        (V * 0, V, "all its values are 0"),
        (V.flip(0), V, "these are the right values in another order"),
        ((3, 1, 2), (1, 2, 3), "these are the right values in another order"),
        (P.log().softmax(0), P,
         "this sums to 1 over the first axis: probabilities must sum to 1 over the classes, the last one"),
        (P.square(), P, None),
        (P.bfloat16(), P, None),
        (3.001, 3.0, None),
        (3.1, 3.0, "this is 3.1, the right value is 3"),
        ("a", "b", "this is 'a', the right value is 'b'"),
    ],
    ids=str,
)  # fmt: skip
def test_a_difference_is_named(wrong, wanted, sentence):
    told = difference(wrong, wanted)
    assert told if sentence is None else told == sentence
    with pytest.raises(AssertionError) as error:
        expect(wrong, wanted)
    assert str(error.value) == told


def test_what_is_told_without_a_fixed_sentence():
    assert difference(P.square(), P).startswith(
        "these probabilities must sum to 1 over the last axis; the first sum is 0."
    )
    assert difference(P.bfloat16(), P).endswith("torch.bfloat16 holds few digits")
    assert difference(3.001, 3.0).startswith("this is near the right value, but up to 0.033 % off")


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 100).filter(lambda c: abs(c - 1) > 0.05))
def test_any_factor_is_found(factor):
    assert " times " in difference(P * factor, P) or " divided by " in difference(P * factor, P)


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 10**6))
def test_no_factor_is_claimed_of_numbers_that_have_none(seed):
    other = torch.rand(3, 4, generator=torch.Generator().manual_seed(seed + 1), dtype=torch.float64)
    assert relation(other, P) is None or "sum to 1" in relation(other, P)


@pytest.mark.parametrize("wanted", [2.0, torch.tensor(2.0), torch.full((4,), 2.0)], ids=str)
def test_one_number_shows_no_factor_and_no_shift(wanted):
    assert relation(6 * torch.as_tensor(wanted), wanted) is None


def test_a_factor_must_hold_over_all_parts():
    assert relation((2.0, 6.0), (1.0, 3.0)) == "this is the right value times 2"
    assert relation((2.0, 9.0), (1.0, 3.0)) is None


@pytest.mark.parametrize("given", [(0.0, 0.0, 23.0), (1e-9, -1e-9, 23.0), (0.0, 0.0, 0.0)], ids=str)
def test_a_zero_shows_no_factor(given):
    told = difference(given, (0.0, 0.0, 2000.0))
    assert " times " not in told
    assert "divided" not in told


def test_a_shift_shows_in_zeros_and_a_large_number_hides_none():
    assert relation((3.0, 3.0, 4.0), (0.0, 0.0, 1.0)) == "this is the right value plus 3 in every place"
    assert relation((1e3, 1e3), (1.0, 1.002)) is None


def test_a_small_part_far_off_is_not_near_beside_a_large_one():
    assert relation((2000.0, 2.0), (2001.0, 1.0)) is None
    assert relation((2000.0, 1.001), (2001.0, 1.0)).startswith("this is near the right value, but up to 0.1 % off")


def test_columns_are_named_where_all_parts_have_as_many():
    assert relation((P / 4, V / 4), (P, V)) == "this is the right value divided by 4"


def test_a_factor_may_have_a_name_of_its_own():
    assert difference(P / 10, P, constants={"the number of classes": 10}) == (
        "this is the right value divided by 10, the number of classes"
    )


def test_a_known_mistake_comes_before_arithmetic():
    assert difference(-V, V, {"other": V, "uphill": -V}) == "uphill"


def test_mistakes_are_evaluated_only_when_they_are_needed():
    def never():
        raise ZeroDivisionError

    assert difference(V, V, {"no": never}) is None
    assert difference(2 * V, V, {"twice": lambda: 2 * V, "no": never}) == "twice"
    assert difference(3 * V, V, {"no": never}) == "this is the right value times 3"


def test_a_mistake_may_be_nan_and_must_agree_everywhere():
    nan = torch.tensor([1.0, math.nan])
    assert difference(nan, torch.ones(2), {"0 log 0": nan}) == "0 log 0"
    assert difference(nan, torch.ones(2), {"0 log 0": torch.tensor([2.0, math.nan])}) != "0 log 0"


def test_same_compares_parts_and_shapes():
    assert same((1, P), (1.0, P))
    assert not same((1, P), (1.0, P, 2))
    assert not same(P.expand(2, 3, 4), P)
    assert not same(P + 1e-3, P)


def test_values_are_shown_in_a_few_words():
    assert show(V) == "a tensor (5,) that begins 1.0, 2.0, 4.0, 8.0"
    assert show(INDICES) == "[2, 0, 1]"
    assert show((torch.tensor(1.0), torch.tensor(0.123456))) == "(1, 0.1235)"
    assert show(torch.tensor([-0.00000144, 0.0, 1.0])) == "[-1.44e-06, 0.0, 1.0]"
    assert show([np.float64(1), 0.123456, (np.int64(2), "a")]) == "[1, 0.1235, (2, 'a')]"
    assert show([0.25] * 1000).endswith(" 0.25, 0.25...")
    assert show(torch.nn.Linear(1, 1)) == "a model"
    assert len(show("x" * 1000)) == 80
