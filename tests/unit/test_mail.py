"""Mail: over a real socket to a real server, and a postbox that is bounded, patient, and tells of what fails."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from safehold.adapters.smtp import SmtpMailer, SmtpServer
from safehold.lab.world import SimClock
from safehold.ports.mail import Letter, MailFailed
from safehold.service import postbox
from safehold.service.postbox import (
    DEDUPE_SECONDS,
    FIRST_BACKOFF_SECONDS,
    GIVE_UP_SECONDS,
    LAST_BACKOFF_SECONDS,
    TOLD_SECONDS,
    Postbox,
)
from tests.support.smtp import MailServer

LETTER = Letter("ada@example.org", "Tus datos están de vuelta", "Hola, ada:\n\nEstá todo.\n.\n..punto\n", "back 1")


@pytest.fixture
def server() -> Iterator[MailServer]:
    found = MailServer()
    yield found
    found.close()


def mailer(server: MailServer, user: str = "", password: str = "") -> SmtpMailer:
    return SmtpMailer(SmtpServer("127.0.0.1", server.port, "none", user, "safehold@example.org", lambda: password))


# -- over the wire ---------------------------------------------------------------------------------------------


def test_a_letter_arrives_as_it_was_written(server: MailServer) -> None:
    mailer(server).send(LETTER)
    [(sender, to, message)] = server.letters
    assert (sender, to) == ("safehold@example.org", ["ada@example.org"])
    assert message["Subject"] == LETTER.subject
    assert message["To"] == "ada@example.org"
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["Message-ID"].endswith("@example.org>") and message["Date"]
    assert message.get_content().replace("\r\n", "\n") == LETTER.text


def test_a_subject_cannot_bring_headers_of_its_own(server: MailServer) -> None:
    mailer(server).send(LETTER._replace(subject="a\r\nBcc: all@example.org\n\nb"))
    [(_, to, message)] = server.letters
    assert to == ["ada@example.org"]
    assert message["Bcc"] is None
    assert message["Subject"] == "a Bcc: all@example.org b"


def test_who_has_to_sign_in_does(server: MailServer) -> None:
    server.login = ("safehold", "geheim")
    with pytest.raises(MailFailed) as refused:
        mailer(server, "safehold", "wrong").send(LETTER)
    assert not refused.value.for_good, "the operator can mend that, and the letter goes then"
    mailer(server, "safehold", "geheim").send(LETTER)
    assert len(server.letters) == 1


@pytest.mark.parametrize(("reply", "for_good"), [("550 5.1.1 nobody", True), ("451 4.2.1 later", False)])
def test_a_refusal_says_whether_it_is_for_good(server: MailServer, reply: str, for_good: bool) -> None:
    server.refuse["ada@example.org"] = reply
    with pytest.raises(MailFailed) as refused:
        mailer(server).send(LETTER)
    assert refused.value.for_good is for_good
    assert reply[-5:] in refused.value.message


def test_a_server_that_is_away_or_odd_is_tried_again(server: MailServer) -> None:
    server.greeting = "554 go away"
    with pytest.raises(MailFailed) as refused:
        mailer(server).send(LETTER)
    assert not refused.value.for_good
    server.close()
    with pytest.raises(MailFailed) as refused:
        mailer(server).send(LETTER)
    assert not refused.value.for_good


def test_without_tls_where_it_is_asked_for_nothing_is_sent(server: MailServer) -> None:
    asked = SmtpServer("127.0.0.1", server.port, "starttls", "", "safehold@example.org", str)
    with pytest.raises(MailFailed) as refused:
        SmtpMailer(asked).send(LETTER)
    assert not refused.value.for_good
    assert server.letters == []


# -- the postbox -----------------------------------------------------------------------------------------------


class Carrier:
    """A Mailer that fails as it is told."""

    def __init__(self) -> None:
        self.failure: MailFailed | None = None
        self.bad: set[str] = set()
        self.tries = 0
        self.sent: list[Letter] = []

    def send(self, letter: Letter) -> None:
        self.tries += 1
        if letter.to in self.bad:
            raise MailFailed("550 nobody", for_good=True)
        if self.failure is not None:
            raise self.failure
        self.sent.append(letter)


@pytest.fixture
def clock() -> SimClock:
    return SimClock()


@pytest.fixture
def carrier() -> Carrier:
    return Carrier()


@pytest.fixture
def box(carrier: Carrier, clock: SimClock) -> Postbox:
    return Postbox(carrier, clock)


def letter(n: int) -> Letter:
    return Letter(f"p{n}@example.org", "s", "t", "k")


def test_what_is_put_is_sent_once(box: Postbox, carrier: Carrier, clock: SimClock) -> None:
    assert box.put(LETTER) and not box.put(LETTER)
    assert box.put(LETTER._replace(to="bob@example.org"))
    assert box.put(LETTER._replace(key="back 2"))
    assert box.step() is None
    assert len(carrier.sent) == box.taken == 3
    assert not box.put(LETTER)
    clock.advance(DEDUPE_SECONDS + 1)
    assert box.put(LETTER)


def test_a_server_that_is_away_is_tried_with_back_off_and_told_of(
    box: Postbox, carrier: Carrier, clock: SimClock
) -> None:
    carrier.failure = MailFailed("away", for_good=False)
    box.put(LETTER)
    pauses = []
    for _ in range(12):
        pause = box.step()
        assert pause is not None
        assert box.step() == pause, "a wake-up shortens no back-off"
        pauses.append(pause)
        clock.advance(pause)
    assert carrier.tries == 12
    assert pauses[:3] == [FIRST_BACKOFF_SECONDS, 2 * FIRST_BACKOFF_SECONDS, 4 * FIRST_BACKOFF_SECONDS]
    assert pauses[-1] == LAST_BACKOFF_SECONDS
    [incident] = box.incidents()
    assert "away" in incident["message"] and "ada@" not in incident["summary"]
    carrier.failure = None
    assert box.step() is None
    assert carrier.sent == [LETTER] and box.incidents() == []


def test_what_is_refused_for_good_holds_up_nothing_and_is_told(box: Postbox, carrier: Carrier, clock: SimClock) -> None:
    carrier.bad.add("p1@example.org")
    for n in range(3):
        box.put(letter(n))
    assert box.step() is None
    assert [one.to for one in carrier.sent] == ["p0@example.org", "p2@example.org"]
    [incident] = box.incidents()
    assert "1 letter was not taken" in incident["message"]
    clock.advance(TOLD_SECONDS + 1)
    assert box.incidents() == []


def test_a_letter_that_nobody_takes_for_days_is_given_up(box: Postbox, carrier: Carrier, clock: SimClock) -> None:
    carrier.failure = MailFailed("away", for_good=False)
    box.put(LETTER)
    assert box.step() is not None
    clock.advance(GIVE_UP_SECONDS + 1)
    assert box.step() is None
    assert (box.waiting, box.dropped) == (0, 1)


def test_the_box_is_bounded(carrier: Carrier, clock: SimClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postbox, "MAX_WAITING", 10)
    monkeypatch.setattr(postbox, "MAX_REMEMBERED", 20)
    box = Postbox(carrier, clock)
    for n in range(50):
        box.put(letter(n))
    assert box.waiting == 10 and box.dropped == 40
    assert len(box._sent) == 20
    box.step()
    assert [one.to for one in carrier.sent] == [f"p{n}@example.org" for n in range(40, 50)]
