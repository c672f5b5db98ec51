"""Shares of the next connections, and the program that hands them out."""

import pytest

from gateway.fleet.steering import Burden, program, weights


def run(instructions, random):
    """A machine for the four instructions in use."""
    at = 0
    while True:
        code, if_true, if_false, operand = instructions[at]
        if code == 0x06:
            return operand
        at += 1 + ((if_true if random >= operand else if_false) if code == 0x35 else 0)


@pytest.mark.parametrize("shares", [[1.0], [0.5, 0.5], [0.0, 1.0], [0.2, 0.0, 0.3, 0.5]])
def test_the_program_chooses_each_socket_as_often_as_its_share(shares):
    instructions, draws = program(shares), 10_000
    chosen = [run(instructions, number * 2**32 // draws) for number in range(draws)]

    assert [chosen.count(index) / draws for index in range(len(shares))] == pytest.approx(shares, abs=0.001)


def test_a_program_that_may_choose_nobody_is_refused():
    with pytest.raises(ValueError, match="no socket"):
        program([0.0, 0.0])


def test_equal_burdens_get_equal_shares_and_who_must_get_none_gets_none():
    assert weights([Burden(), None, Burden()]) == [0.5, 0.0, 0.5]
    assert weights([None, None]) == [0.0, 0.0]


def test_a_process_without_a_free_core_still_gets_a_share():
    busy, idle = weights([Burden(busy=1.0), Burden(busy=0.0)])

    assert 0 < busy < 0.01 < idle


def test_one_connection_more_counts_much_among_few_and_little_among_many():
    assert weights([Burden(connections=0), Burden(connections=1)])[0] == pytest.approx(0.8)
    assert weights([Burden(connections=50), Burden(connections=51)])[0] < 0.52
