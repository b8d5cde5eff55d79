"""Quorums of a committee of n members of which at most f are faulty.

A literal 2f + 1 is right only for n = 3f + 1. The four numbers below are right for every n > 3f, and every protocol
names the one that it means (Bracha 1987; Malkhi and Reiter 1998 for the intersecting quorum):

====================  =======================  =====================================================================
name                  size                     what it tells
====================  =======================  =====================================================================
``some_correct``      f + 1                    at least one of them is correct
``correct_majority``  2f + 1                   a majority of them, f + 1, is correct
``intersecting``      floor((n + f) / 2) + 1   two such quorums share a correct member, so two values can't both have one
``waiting``           n - f                    as many as one can wait for without waiting for a faulty one
====================  =======================  =====================================================================
"""


def max_faulty(n: int) -> int:
    """The largest f with n > 3f; 0 for a committee of one to three.

    Errors: ``ValueError`` when n < 1.
    """
    if n < 1:
        raise ValueError(f"a committee has at least one member, not {n}")
    return (n - 1) // 3


def some_correct(f: int) -> int:
    """f + 1: at least one of these members is correct."""
    return f + 1


def correct_majority(f: int) -> int:
    """2f + 1: at least f + 1 of these members are correct."""
    return 2 * f + 1


def intersecting(n: int, f: int) -> int:
    """floor((n + f) / 2) + 1: any two sets of this size share a correct member."""
    return (n + f) // 2 + 1


def waiting(n: int, f: int) -> int:
    """n - f: all correct members together reach it, whatever the faulty ones do."""
    return n - f
