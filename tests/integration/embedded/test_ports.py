"""Which ports are chosen for servers that start a little later."""

import itertools
import socket

from cohortlens.embedded import ports


def test_no_outgoing_connection_can_take_a_chosen_port_and_none_is_chosen_twice():
    outgoing = ports._first_outgoing_port()
    firsts = [ports.free_ports(3) for _ in range(200)]
    taken = list(itertools.chain.from_iterable(range(first, first + 3) for first in firsts))
    assert len(set(taken)) == 600
    assert all(20_000 <= port < outgoing for port in taken)


def test_a_port_that_a_server_holds_is_passed_over(monkeypatch):
    held = ports.free_port()
    tried = iter([held, held + 1])
    monkeypatch.setattr(ports, "_given", set())
    monkeypatch.setattr(ports.random, "randrange", lambda *_: next(tried))
    with socket.create_server((ports.LOOPBACK, held)):
        assert ports.free_port() == held + 1


def test_where_the_kernel_gives_all_ports_away_one_is_found_all_the_same(monkeypatch, tmp_path):
    given = tmp_path / "range"
    given.write_text("1024\t65535\n")
    monkeypatch.setattr(ports, "_OUTGOING", given)
    assert ports.is_free(ports.free_port())
