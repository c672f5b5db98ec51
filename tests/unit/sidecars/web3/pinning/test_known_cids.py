"""CIDs of the known answers: those that Kubo gives for the same bytes."""

from __future__ import annotations

import pytest

from sidecars.web3.pinning.unixfs import Profile, TreeBuilder, content_cid

OLD = Profile(cid_version=0, has_raw_leaves=False)

KNOWN = [
    (
        "empty",
        lambda: b"",
        "QmbFMke1KXqnYyBBWxB74N4c5SBnJMVAiMNRcGu6x1AwQH",
        "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    ),
    (
        "one byte",
        lambda: b"a",
        "QmfDmsHTywy6L9Ne5RXsj5YumDedfBLMvCvmaxjBoe6w4d",
        "bafkreigks6arfsq3xxfpvqrrwonchxcnu6do76auprhhfomao6c273sixm",
    ),
    (
        "hello",
        lambda: b"hello",
        "QmWfVY9y3xjsixTgbd9AorQxH7VtMpzfx2HaWtsoUYecaX",
        "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq",
    ),
    (
        "one piece",
        lambda: b"a" * 262_144,
        "Qma81h2ZqbvJW2EQkiVUZ17aSvNWqAtvUPhh8mQBPU8W7c",
        "bafkreig5hxpioyr5tjvtktdizfb5dcoitrrwklmulz5334eynsxjdjevee",
    ),
    (
        "one piece and a byte",
        lambda: b"a" * 262_145,
        "QmTaxvXcxpzzaatSEEAYr7t3knkJ6DmTVbr8MjJJWLRWpV",
        "bafybeifwp2ckiq7kaefcrxkcalv6bs5x7e7ozrigy4ypvcqwetgnxfb2hi",
    ),
    (
        "a million",
        lambda: b"a" * 1_000_000,
        "QmdTFTf2ygB26yxJ1dJBvXBcCikW1d4g52uNgwwtsEx8RL",
        "bafybeid7t3y5axz3xf67jmp25iriixbuoja7c4yzz77ee5qp62njmcxk5e",
    ),
    (
        "two levels",
        lambda: bytes(45_613_057),
        "QmehMASWcBsX7VcEQqs6rpR5AHoBfKyBVEgmkJHjpPg8jq",
        "bafybeihqwzd3o6q6v3pmwhzjy22vokhr767burokmqemg63hptx2nqd7ym",
    ),
    (
        "sixty million",
        lambda: (bytes(range(251)) * 239_044)[:60_000_000],
        "QmTu7pUMp18Pv3p6CMLymdjoq4u1WHZKzZVMasWvoTjVjB",
        "bafybeigam5dpll7feslqch2gt766vzamdrktqvcevpwul76d5cu6snb57e",
    ),
]


@pytest.mark.parametrize(("content", "old", "new"), [row[1:] for row in KNOWN], ids=[row[0] for row in KNOWN])
def test_a_file_has_the_cid_that_kubo_gives_it(content, old, new):
    made = content()
    assert str(content_cid(made)) == new
    assert str(content_cid(made, OLD)) == old


def test_a_file_has_one_cid_however_its_bytes_come():
    content = (bytes(range(251)) * 6_000)[:1_400_000]
    builder = TreeBuilder(lambda _cid, _block: None)
    at = 0
    for size in (1, 262_143, 262_144, 0, 7, 524_289, 10**9):
        builder.write(content[at : at + size])
        at += size
    assert builder.finish().cid == content_cid(content)


def test_a_full_node_and_no_more_is_itself_the_root():
    # 174 pieces fill one node; a second level above it would give another CID than Kubo's.
    blocks = []
    builder = TreeBuilder(lambda cid, block: blocks.append(cid), Profile(piece_bytes=1))
    builder.write(bytes(174))
    root = builder.finish()
    assert len(blocks) == 174 + 1
    assert blocks[-1] == root.cid
