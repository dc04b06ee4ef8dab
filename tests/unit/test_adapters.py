"""The adapters of the real world: threads that lose no wake-up, a socket for its owner only, a hash that is slow."""

from __future__ import annotations

import logging
import os
import socket
import stat
import struct
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from safehold.adapters import channel as channel_module
from safehold.adapters.channel import ChannelServer, UnixChannel, peer_uid
from safehold.adapters.passwords import Argon2Hasher
from safehold.adapters.system import SystemClock, SystemEntropy
from safehold.adapters.threads import Rounds, ThreadScheduler
from safehold.model.errors import Held
from safehold.ports.world import Handler

PATIENCE_SECONDS = 300.0


# -- clock, entropy, passwords ---------------------------------------------------------------------------------


def test_the_clock_counts_microseconds_of_the_wall_and_never_runs_backwards() -> None:
    clock = SystemClock()
    assert abs(clock.now() / 1e6 - time.time()) < 5
    readings = [clock.monotonic() for _ in range(1000)]
    assert readings == sorted(readings)


def test_entropy_gives_what_is_asked_and_never_the_same() -> None:
    entropy = SystemEntropy()
    assert len(entropy.bytes(13)) == 13
    assert len({entropy.bytes(16) for _ in range(100)}) == 100


@pytest.fixture
def hasher() -> Argon2Hasher:
    return Argon2Hasher(passes=1, memory_kib=8, lanes=1)


def test_a_password_is_known_by_its_hash_and_no_other_is(hasher: Argon2Hasher) -> None:
    hashed = hasher.hash("påss:wörd")
    assert hashed.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert "wörd" not in hashed
    assert hasher.verify(hashed, "påss:wörd")
    assert not hasher.verify(hashed, "påss:wörd ")
    assert hasher.hash("påss:wörd") != hashed, "each hash has a salt of its own"


def test_an_umlaut_is_the_same_from_every_keyboard(hasher: Argon2Hasher) -> None:
    assert hasher.verify(hasher.hash("m\u00fcller"), "mu\u0308ller")


def test_a_hash_of_another_cost_stays_valid(hasher: Argon2Hasher) -> None:
    assert Argon2Hasher(passes=2, memory_kib=16, lanes=1).verify(hasher.hash("x"), "x")


def test_a_damaged_hash_is_an_error_and_no_wrong_password(hasher: Argon2Hasher) -> None:
    with pytest.raises(Held):
        hasher.verify("$argon2id$v=19$m=8,t=1,p=1$garbage", "x")


def test_the_default_cost_is_that_of_the_decision() -> None:
    assert Argon2Hasher().hash("x").startswith("$argon2id$v=19$m=65536,t=1,p=1$")


# -- threads ---------------------------------------------------------------------------------------------------


class Steps:
    """A worker whose steps are given; it tells when each has ended."""

    def __init__(self, step: Callable[[int], float | None], name: str = "steps") -> None:
        self.name = name
        self._step = step
        self._changed = threading.Condition()
        self.count = 0

    def step(self) -> float | None:
        try:
            return self._step(self.count)
        finally:
            with self._changed:
                self.count += 1
                self._changed.notify_all()

    def wait_for(self, count: int) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: self.count >= count, PATIENCE_SECONDS), (
                f"{self.count} of {count} steps"
            )


@pytest.fixture
def scheduler() -> Iterator[ThreadScheduler]:
    scheduler = ThreadScheduler(first_backoff_seconds=0.001, last_backoff_seconds=0.004)
    yield scheduler
    scheduler.stop()


def test_a_worker_runs_at_once_and_as_often_as_it_asks(scheduler: ThreadScheduler) -> None:
    worker = Steps(lambda count: 0 if count < 10 else None)
    scheduler.add(worker)
    worker.wait_for(11)
    scheduler.stop()
    assert worker.count == 11, "a step that returns None waits to be woken"


def test_a_wake_during_a_step_causes_another_step(scheduler: ThreadScheduler) -> None:
    inside, go_on = threading.Event(), threading.Event()

    def step(count: int) -> None:
        if count == 0:
            inside.set()
            assert go_on.wait(PATIENCE_SECONDS)

    worker = Steps(step)
    scheduler.add(worker)
    assert inside.wait(PATIENCE_SECONDS)
    scheduler.wake(worker)
    go_on.set()
    worker.wait_for(2)


def test_no_wake_is_lost(scheduler: ThreadScheduler) -> None:
    """Whatever was put before a wake is seen by a step that begins after it: at the end nothing is left over."""
    given: list[int] = []
    seen = 0
    done = threading.Event()

    def step(_: int) -> None:
        nonlocal seen
        seen = len(given)
        if seen == 2000:
            done.set()

    worker = Steps(step)
    scheduler.add(worker)
    for number in range(2000):
        given.append(number)
        scheduler.wake(worker)
    assert done.wait(PATIENCE_SECONDS), f"only {seen} were seen"


def test_a_step_that_fails_is_logged_and_tried_again(
    scheduler: ThreadScheduler, caplog: pytest.LogCaptureFixture
) -> None:
    def step(count: int) -> None:
        if count < 5:
            raise ValueError(f"failure {count}")

    worker = Steps(step, "shipper")
    with caplog.at_level(logging.ERROR):
        scheduler.add(worker)
        worker.wait_for(6)
    assert [r.getMessage().partition(";")[0] for r in caplog.records] == ["shipper failed"] * 5
    scheduler.wake(worker)
    worker.wait_for(7)


def test_wakes_do_not_hurry_a_worker_that_fails() -> None:
    scheduler = ThreadScheduler(first_backoff_seconds=3600)

    def step(_: int) -> None:
        raise ValueError("failure")

    worker, other = Steps(step), Steps(lambda _: None)
    scheduler.add(worker)
    scheduler.add(other)
    worker.wait_for(1)
    for _ in range(100):
        scheduler.wake(worker)
    scheduler.wake(other)
    other.wait_for(2)
    scheduler.stop()
    assert worker.count == 1


def test_stop_ends_waits_at_once_and_lets_a_step_end() -> None:
    scheduler = ThreadScheduler()
    inside, go_on, stopped = threading.Event(), threading.Event(), threading.Event()

    def slow(_: int) -> None:
        inside.set()
        assert go_on.wait(PATIENCE_SECONDS)

    sleeper, forever, busy = Steps(lambda _: 3600.0), Steps(lambda _: None), Steps(slow)
    for worker in (sleeper, forever, busy):
        scheduler.add(worker)
    assert inside.wait(PATIENCE_SECONDS)
    sleeper.wait_for(1)
    forever.wait_for(1)

    def stop() -> None:
        scheduler.stop()
        stopped.set()

    stopper = threading.Thread(target=stop)
    stopper.start()
    assert not stopped.is_set()
    go_on.set()
    assert stopped.wait(PATIENCE_SECONDS)
    stopper.join()
    assert (sleeper.count, forever.count, busy.count) == (1, 1, 1)
    scheduler.wake(sleeper)
    scheduler.stop()
    assert sleeper.count == 1


# -- the channel -----------------------------------------------------------------------------------------------


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., str]]:
    servers: list[ChannelServer] = []

    def start(handler: Handler, address: Path | None = None, **options: int) -> str:
        server = ChannelServer(str(address or tmp_path / "run.sock"), handler, **options)
        server.start()
        servers.append(server)
        return server.address

    yield start
    for server in servers:
        server.stop()


@pytest.mark.parametrize("size", [0, 1, 100_000, 3_000_000])
def test_a_request_of_any_size_gets_its_answer(serve: Callable[..., str], size: int) -> None:
    address = serve(lambda payload: payload[::-1])
    payload = os.urandom(size)
    assert UnixChannel().request(address, payload) == payload[::-1]


def test_requests_are_answered_side_by_side(serve: Callable[..., str]) -> None:
    meeting = threading.Barrier(4, timeout=PATIENCE_SECONDS)

    def meet(payload: bytes) -> bytes:
        meeting.wait()
        return payload

    address = serve(meet)
    answers: list[bytes] = []
    threads = [
        threading.Thread(target=lambda n=n: answers.append(UnixChannel().request(address, b"%d" % n))) for n in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(answers) == [b"0", b"1", b"2", b"3"]


def test_the_socket_is_its_owners_alone_and_gone_after_stop(tmp_path: Path) -> None:
    server = ChannelServer(str(tmp_path / "run.sock"), lambda p: p)
    server.start()
    assert stat.S_IMODE(os.stat(server.address).st_mode) == 0o600
    server.stop()
    server.stop()
    assert not os.path.exists(server.address)
    with pytest.raises(ConnectionError):
        UnixChannel().request(server.address, b"x")


def test_another_user_is_refused(serve: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def handler(payload: bytes) -> bytes:
        asked.append(payload)
        return payload

    address = serve(handler)
    monkeypatch.setattr(channel_module, "peer_uid", lambda _: 54321)
    with pytest.raises(ConnectionError):
        UnixChannel().request(address, b"x")
    assert asked == []


def test_the_kernel_names_the_peer() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert peer_uid(ours) == os.geteuid()


def test_a_folder_may_lie_deeper_than_a_socket_address_is_long(serve: Callable[..., str], tmp_path: Path) -> None:
    folder = tmp_path / ("deep" * 30) / ("deeper" * 20)
    folder.mkdir(parents=True)
    address = serve(lambda payload: payload + b"!", folder / "run.sock")
    assert UnixChannel().request(address, b"here") == b"here!"


def test_a_socket_that_a_dead_process_left_is_replaced(serve: Callable[..., str], tmp_path: Path) -> None:
    address = tmp_path / "run.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as dead:
        dead.bind(str(address))
    assert UnixChannel().request(serve(lambda p: p + p, address), b"a") == b"aa"


def test_a_socket_that_somebody_serves_is_left_alone(serve: Callable[..., str]) -> None:
    address = serve(lambda _: b"first")
    with pytest.raises(FileExistsError):
        ChannelServer(address, lambda _: b"second").start()
    assert UnixChannel().request(address, b"") == b"first"


def test_a_file_in_the_way_is_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "run.sock"
    file.write_text("precious")
    with pytest.raises(FileExistsError):
        ChannelServer(str(file), lambda p: p).start()
    assert file.read_text() == "precious"


def test_a_handler_that_fails_costs_its_client_the_answer_and_nobody_else(serve: Callable[..., str]) -> None:
    def handler(payload: bytes) -> bytes:
        if payload == b"bad":
            raise ValueError("bad")
        return b"good"

    address = serve(handler)
    with pytest.raises(ConnectionError):
        UnixChannel().request(address, b"bad")
    assert UnixChannel().request(address, b"x") == b"good"


def test_messages_over_the_limit_are_refused_on_both_sides(serve: Callable[..., str]) -> None:
    address = serve(lambda payload: bytes(2000), max_message_bytes=4000)
    with pytest.raises(ConnectionError):
        UnixChannel(max_message_bytes=100).request(address, bytes(101))
    with pytest.raises(ConnectionError):
        UnixChannel(max_message_bytes=100).request(address, b"x")  # the answer is over its limit
    with pytest.raises(ConnectionError):
        UnixChannel().request(address, bytes(4001))
    assert len(UnixChannel().request(address, bytes(4000))) == 2000


def test_a_client_that_breaks_off_harms_nobody(serve: Callable[..., str]) -> None:
    address = serve(lambda payload: payload)
    for part in (b"", b"\0\0", struct.pack(">I", 100) + b"short"):
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
            client.connect(address)
            client.sendall(part)
    assert UnixChannel().request(address, b"on") == b"on"


def test_rounds_go_on_whatever_one_of_them_raises() -> None:
    troubles: list[Exception] = [OSError("no disk"), ValueError("no record")]

    def work() -> None:
        if troubles:
            raise troubles.pop()
        assert rounds.stop()

    rounds = Rounds("test", work, lambda: 0.001)
    rounds.run()
    assert not troubles
