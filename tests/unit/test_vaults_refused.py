"""Vaults that are not what they should be: forged, re-signed, cut short, reordered, rolled back, mixed (I44).

Each is refused with the reason at a writer's start and out of a plan, or gives nothing but what the root vouches for,
and is told. With another vault that is whole, a recovery misses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from safehold.archiver.log import Log, LogVault, Mode
from safehold.formats import segment
from safehold.formats.frame import RawFrame, encode_frame, scan_frames
from safehold.formats.keys import Opener, Role, Sealer, SigningKey, certify
from safehold.formats.segment import HEADER_BYTES, SegmentHeader
from safehold.model.change import Change
from safehold.model.errors import OperatorError
from safehold.ports.core import EMPTY_LOG, LogPosition
from safehold.ports.log import Hole
from safehold.recovery.plan import Plan, make_plan
from safehold.vault.log import VaultLogReader
from safehold.vault.memory import MemoryVault
from tests.support.recovery_fakes import FakeClock, History
from tests.support.recovery_vaults import Vaults, keyring

STRANGER = SigningKey(b"s" * 32)
THEIR_ROOT = SigningKey(b"S" * 32)


@pytest.fixture(scope="module")
def history() -> History:
    history = History()
    history.family("ada", "bob", cards=6)
    return history


@pytest.fixture
def vaults(history: History) -> Vaults:
    return Vaults(history)


def start(vaults: Vaults, *others: MemoryVault, core: LogPosition | None = None) -> Log:
    """A writer's start on near, as far as the end of the tail."""
    log = Log.claim(
        [LogVault(vaults.near, Mode.SYNC), *(LogVault(other, Mode.ASYNC) for other in others)],
        vaults.keyring.sealer,
        vaults.keyring.opener,
        vaults.clock,
        vaults.end if core is None else core,
    )
    assert list(log.tail()) == []
    return log


def plan(vaults: Vaults, *sources: MemoryVault, opener: Opener | None = None) -> Plan:
    """As on a bare machine: the recovery key and these vaults alone."""
    reader = VaultLogReader(sources, opener or vaults.keyring.opener)
    return make_plan(reader, sources, FakeClock(vaults.clock.now() + 5_000_000), sync=())


def changes(vaults: Vaults, *sources: MemoryVault) -> Iterator[Change]:
    for entry in VaultLogReader(sources, vaults.keyring.opener).entries():
        if not isinstance(entry, Hole):
            yield from entry.changes


def told(found: Plan) -> str:
    return "\n".join(found.problems)


def only_what_is_ours(vaults: Vaults, history: History) -> None:
    """Near gives true changes in their order, if any; with far beside it, all of them."""
    ours = list(history.changes)
    given = list(changes(vaults, vaults.near))
    assert [c for c in ours if c in given] == given
    assert list(changes(vaults, vaults.near, vaults.far)) == ours


def again(data: bytes, sign: Callable[[bytes], bytes], change: Callable[[SegmentHeader], SegmentHeader]) -> bytes:
    """A segment whose frames are signed anew, under ends that are changed."""
    header = segment.parse_segment_header(data)
    assert header is not None
    ends = change(header)
    stop = len(data) - HEADER_BYTES * (segment.parse_segment_footer(data) is not None)
    frames = [f for f in scan_frames(data, HEADER_BYTES, stop) if isinstance(f, RawFrame)]
    parts = [encode_frame(f.header, f.payload, sign) for f in frames]
    return b"".join([segment.encode_header(ends), *parts, segment.encode_footer(ends)])


def re_sign(vaults: Vaults, change: Callable[[SegmentHeader], SegmentHeader], writer: SigningKey = STRANGER) -> None:
    """All of near, by somebody who has not our keys."""
    for name in vaults.segments():
        vaults.near.objects[name] = again(vaults.near.objects[name], writer.sign, change)


def stranger_under(root: SigningKey) -> Callable[[SegmentHeader], SegmentHeader]:
    certificate = certify(root, STRANGER.public)
    return lambda header: header._replace(
        writer_public=STRANGER.public, root_public=root.public, certificate=certificate
    )


def test_re_signed_under_another_root(vaults: Vaults, history: History) -> None:
    re_sign(vaults, stranger_under(THEIR_ROOT))
    with pytest.raises(OperatorError, match="not certified by the root of this installation"):
        start(vaults)
    with pytest.raises(OperatorError, match=r"nothing can be recovered.*not certified by this installation"):
        plan(vaults, vaults.near)
    only_what_is_ours(vaults, history)


def test_signed_by_a_stranger_under_our_certificate(vaults: Vaults, history: History) -> None:
    """The ends say whose writer it is; the signatures are not that writer's."""
    re_sign(vaults, lambda header: header)
    with pytest.raises(OperatorError, match="which vault near has lost"):
        start(vaults)
    with pytest.raises(OperatorError, match="nothing can be recovered"):
        plan(vaults, vaults.near)
    only_what_is_ours(vaults, history)


def test_signed_with_a_certificate_that_is_none_for_a_writer(vaults: Vaults, history: History) -> None:
    """A keeper's key is certified by our own root, and still signs no log."""
    root = vaults.keyring.root
    assert root is not None
    certificate = certify(root, STRANGER.public, Role.KEEPER)
    re_sign(vaults, lambda header: header._replace(writer_public=STRANGER.public, certificate=certificate))
    with pytest.raises(OperatorError, match="not certified by the root of this installation"):
        start(vaults)
    with pytest.raises(OperatorError, match="not certified by this installation"):
        plan(vaults, vaults.near)
    only_what_is_ours(vaults, history)


def test_one_frame_put_in_by_a_stranger(vaults: Vaults, history: History) -> None:
    """Whoever knows the recipient can seal; without the writer's key it is no frame of the log."""
    victim = history.changes[len(history.changes) // 2]
    name, frame = vaults.holds(victim)
    false = Sealer(vaults.keyring.sealer.recipients, STRANGER, THEIR_ROOT.public, certify(THEIR_ROOT, STRANGER.public))
    payload = false.encrypt(b"whatever I like")
    data = vaults.near.objects[name]
    forged = encode_frame(frame.header._replace(payload_bytes=len(payload)), payload, STRANGER.sign)
    vaults.near.objects[name] = data[: frame.offset] + forged + data[frame.offset + len(frame.data) :]
    found = plan(vaults, vaults.near)
    assert "its signature does not match" in told(found)
    assert [(hole.first, hole.last) for hole in found.holes] == [(frame.header.number, frame.header.number)]
    only_what_is_ours(vaults, history)


def test_a_log_of_a_stranger_put_on_top(vaults: Vaults, history: History) -> None:
    """A higher timeline would count to its end; it counts only if it is ours."""
    theirs = keyring("theirs")
    forged = MemoryVault("forged")
    for sealer, reason in (
        (theirs.sealer, "the log of another installation"),
        (_pretending(vaults), "not certified by the root of this installation"),
    ):
        name = segment.claim_object(7)
        header = segment.encode_header(segment.header_for(segment.SegmentName(7, 0, 0), sealer))
        forged.objects = {name: header}
        vaults.near.objects |= forged.objects
        with pytest.raises(OperatorError, match=reason):
            start(vaults)
        found = plan(vaults, vaults.near)
        assert found.report.exit_code == 0
        only_what_is_ours(vaults, history)


class _Pretender(Sealer):
    """Says that it is of our installation."""

    def __init__(self, installation: bytes) -> None:
        super().__init__(
            "age1lggyhqrw2nlhcxprm67z43rta597azn8gknawjehu9d9dl0jq3yqqvfafg",
            STRANGER,
            THEIR_ROOT.public,
            certify(THEIR_ROOT, STRANGER.public),
        )
        self.installation = installation


def _pretending(vaults: Vaults) -> Sealer:
    return _Pretender(vaults.keyring.installation)


def test_cut_short(vaults: Vaults, history: History) -> None:
    *_, last = vaults.segments()
    del vaults.near.objects[last]
    with pytest.raises(OperatorError, match="which vault near has lost"):
        start(vaults)
    with pytest.raises(OperatorError, match="was rolled back or lost the end of its log"):
        start(vaults, vaults.far, core=EMPTY_LOG)
    found = plan(vaults, vaults.near)
    assert found.report.unknown_seconds > 0, "what came after, nobody can tell from near alone"
    only_what_is_ours(vaults, history)


def test_cut_short_in_its_middle(vaults: Vaults, history: History) -> None:
    names = vaults.segments()
    del vaults.near.objects[names[len(names) // 2]]
    found = plan(vaults, vaults.near)
    assert found.holes and found.report.exit_code == 1, "what is missing is counted"
    only_what_is_ours(vaults, history)


def test_segments_that_changed_places(vaults: Vaults, history: History) -> None:
    one, other = vaults.segments()[1:3]
    objects = vaults.near.objects
    objects[one], objects[other] = objects[other], objects[one]
    found = plan(vaults, vaults.near)
    assert found.holes and one in told(found) and other in told(found)
    assert found.report.exit_code == 1
    only_what_is_ours(vaults, history)


def test_frames_that_changed_places(vaults: Vaults, history: History) -> None:
    """Their numbers are signed with them: they are read in their true order, or told."""
    name = vaults.segments()[1]
    data = vaults.near.objects[name]
    frames = [f for f in scan_frames(data, HEADER_BYTES) if isinstance(f, RawFrame)]
    first, second = frames[1:3]
    swapped = data[: first.offset] + second.data + first.data + data[second.offset + len(second.data) :]
    assert len(swapped) == len(data) and swapped != data
    vaults.near.objects[name] = swapped
    assert list(changes(vaults, vaults.near)) == history.changes


def test_a_frame_under_the_number_of_another(vaults: Vaults, history: History) -> None:
    """A frame that stands twice, the second time where another should: one is missing, and told."""
    name = vaults.segments()[1]
    data = vaults.near.objects[name]
    frames = [f for f in scan_frames(data, HEADER_BYTES) if isinstance(f, RawFrame)]
    first, second = frames[1:3]
    vaults.near.objects[name] = data[: second.offset] + first.data + data[second.offset + len(second.data) :]
    found = plan(vaults, vaults.near)
    assert [(hole.first, hole.last) for hole in found.holes] == [(second.header.number, second.header.number)]
    only_what_is_ours(vaults, history)


def test_rolled_back_to_an_older_copy(vaults: Vaults, history: History) -> None:
    older = dict(vaults.near.objects)
    log = start(vaults)
    log.start()
    log.write(log.prepare(history.changes[:1]))
    log.close()
    vaults.far.objects, vaults.near.objects = vaults.near.objects, older
    with pytest.raises(OperatorError, match="which vault near has lost"):
        start(vaults, core=log.position)
    with pytest.raises(OperatorError, match="near was rolled back or lost"):
        start(vaults, vaults.far)
    assert plan(vaults, vaults.near).report.unknown_seconds > 0
    assert plan(vaults, vaults.near, vaults.far).end == log.position


def test_mixed_from_two_installations(vaults: Vaults, history: History) -> None:
    other = History()
    other.family("mallory", cards=3)
    theirs = Vaults(other)
    theirs.keyring = keyring("theirs")
    log = Log.claim(
        [LogVault(MemoryVault("near"), Mode.SYNC)],
        theirs.keyring.sealer,
        theirs.keyring.opener,
        theirs.clock,
        EMPTY_LOG,
    )
    assert list(log.tail()) == []
    log.start()
    log.write(log.prepare(other.changes[:3]))
    log.close()
    (source,) = log._sync
    assert isinstance(source, MemoryVault)
    for name, data in source.objects.items():
        there = segment.parse_name(name)
        assert there is not None
        vaults.near.objects[str(there._replace(timeline=4))] = data
    with pytest.raises(OperatorError, match="the log of another installation"):
        start(vaults)
    found = plan(vaults, vaults.near)
    assert found.report.accounts == 2 and "mallory" not in told(found)
    only_what_is_ours(vaults, history)


def test_a_strangers_key_on_a_bare_machine(vaults: Vaults) -> None:
    stranger = keyring("theirs").opener
    with pytest.raises(OperatorError, match=r"nothing can be recovered.*not certified by this installation"):
        plan(vaults, vaults.near, opener=stranger)
    ours_for_theirs = Opener(vaults.keyring.opener.identities, stranger.installation)
    with pytest.raises(OperatorError, match="not certified by this installation"):
        plan(vaults, vaults.near, opener=ours_for_theirs)
    theirs_for_ours = Opener(stranger.identities, vaults.keyring.installation)
    with pytest.raises(OperatorError, match="does not decrypt with this key"):
        plan(vaults, vaults.near, opener=theirs_for_ours)
