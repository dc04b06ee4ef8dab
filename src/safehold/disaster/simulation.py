"""A seeded simulation of the whole system: devices at work, shippers, seals, faults, disasters, and an oracle over all.

One seed is one course of events, on one thread. Devices work over all six kinds through the ASGI application. In
between, and in the midst of writes, shippers take steps; the clock advances; disks fail, fill up and lose power;
processes are killed; cores, blobs and vaults are lost and brought back, by a recovery that may be struck itself.

What holds, always (`Wrong` names what did not):

- what was acknowledged is there bit for bit, with its entity tag, and what was deleted stays deleted;
- of a group that was not acknowledged, all is there or nothing; nothing else is there;
- a sync from any token that was ever given tells what changed since, or answers 503 where the token is of a moment
  that did not survive;
- no device drops an item that nobody deleted;
- no answer is 500, and none is 503 or 507 while nothing is wrong;
- what is acknowledged is durable in the sync vault, and status never reports less lag than there is;
- once the faults are over the writer goes on, and after any disaster the house starts.

After a disaster that took core and sync vault together, history may have lost its end, but not what status had
reported as shipped; then devices that only list what is there may drop items of the lost end (`exposed` counts them).

Long, as a course, its disasters and what is compared after them share one state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

import msgspec

from safehold.disaster.course import Course, run_course
from safehold.disaster.faults import break_disk, hurt_vault, rot, same_objects
from safehold.disaster.house import CORE_FOLDER, House
from safehold.disaster.readout import read_world
from safehold.disaster.rebuilding import NEAR, make_near, recover, take_over
from safehold.disaster.tokens import TROUBLE, TokenBook
from safehold.disaster.truth import Truth
from safehold.formats.doubt import PREFIX as DOUBT_PREFIX
from safehold.lab.devices import TRANSFERS, Device, conflicts, request_of
from safehold.lab.oracle import KINDS, Doubt, Moment, Oracle, Verdict, Wish, Wrong, etag_of
from safehold.lab.simdisk import Crash
from safehold.lab.wire import (
    Answer,
    Request,
)
from safehold.model.commands import AcceptEnd, AnyCommand, Outcome, Undo
from safehold.model.errors import Conflict, Held, NotFound, RequestError, SafeholdError
from safehold.model.kinds import Kind
from safehold.ports.log import Hole
from safehold.recovery.run import Result
from safehold.service.ahead import doubts_of
from safehold.service.identity import SYSTEM_ACCOUNT
from safehold.vault.folder import FolderVault

USERS = ("ann", "bob")


class Simulation(Course):
    """One course."""

    title = "simulation"
    length = 36

    def __init__(self, seed: int | str, *, steps: int = 0, keep: Collection[int] | None = None) -> None:
        super().__init__(seed, House.new(f"house {seed}", USERS), steps=steps, keep=keep)
        self.exposed = 0
        self._fuse: int | None = None
        self._at_work = ""  # who runs: "writer", "shipper", or nobody
        self._interrupted = False  # one runs in the midst of the other; no deeper
        self._faulty = False
        self._struck = False  # the power goes between two actions
        self._stopped = False  # the process ended by itself
        self._replaced = False  # the sync vault, by another one
        self._closed = False  # whether the last answer was that of a collection of which a loss is proved
        self._lossy = False  # whether history ever lost its end
        self._device_count = 0
        self._clock_was_set = False  # then times of the past say little
        self._lost_items: set[tuple[str, str]] = set()
        #: The last moment that status reported as being in the async vault; None while it has less.
        self._shipped: int | None = None
        self.clock = self.house.sim_clock
        self.oracle = Oracle(USERS)
        self.oracle.begin(self.clock.now(), self._changes())
        self.tokens = TokenBook(self.oracle, self.rng, self._send_freely, lambda: self._troubled() or self._closed)
        self.users = [*USERS]  # all that were ever asked for
        self.devices = [self._device(self.rng.choice(USERS)) for _ in range(self.rng.randint(2, 4))]
        self.house.disk.on_write_point = self._on_write_point

    def _device(self, user: str) -> Device:
        self._device_count += 1
        name = f"d{self._device_count}"
        rng = self.dice(name)
        return Device(
            name,
            user,
            rng,
            syncs=rng.random() < 0.6,
            strict=rng.random() < 0.5,
            on_removed=self._removed,
        )

    # -- the course ------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, float]:
        return {
            "work": 40,
            "keep_up": 14,
            "take_tokens": 6,
            "ask_tokens": 6,
            "ship": 14,
            "pass_time": 12,
            "read_status": 8,
            "undo": 5,
            "break_something": 5,
            "light_fuse": 5,
            "strike": 3,
            "stop": 1,
            "add_account": 1,
            "set_clock": 0.3,
            "another_writer": 0.7,
        }

    def prepare(self) -> None:
        if self.rng.random() < 0.5:
            self.house.scheduler.run_for(10)
            self.read_status()

    def take(self, act: Callable[[], None]) -> None:
        with self._power():
            act()
            self._look_after()

    def finish(self) -> None:
        """Everything is mended, devices and far vault catch up, and one more power loss changes nothing."""
        self._fuse = None
        self._mend()
        for device in self.devices:
            device.keep_up(self._send)
        for device in self.devices:
            self._compare_copy(device)
        self.house.scheduler.run_for(120)
        self.read_status()
        if self.rng.random() < 0.5:
            self.house.close()
        self.house = self.house.crash(self._torn())
        try:
            self._come_back("restart")
        except SafeholdError as error:
            raise Wrong(f"the house does not come back: {error!r}", "I27") from error
        self.house.scheduler.run_for(130)
        self._check_shippers()
        self.read_status()
        if self._shipped != self.oracle.now and not self._far_differs():
            raise Wrong(f"the async vault never caught up: {self.house.writer.shippers[0].trouble}", "I31")

    def _far_differs(self) -> bool:
        """A power loss tore what was being appended there: status tells, and the vault has to be made anew."""
        return bool(self.house.writer.shippers[0].differences())

    @contextmanager
    def _power(self) -> Iterator[None]:
        try:
            yield
        except (Crash, Exception):
            if not self.house.disk.dead and not self._struck:
                raise
            self._struck = False
            self._black_out()

    def _look_after(self) -> None:
        """Nobody leaves a house for long that does not write; one that cannot be read is seen to at once."""
        if self.house.engine.stopped is not None and (not self.house.readable or self.rng.random() < 0.5):
            self._mend()

    def note(self, text: str) -> None:
        self.log.append(f"{self.step}: {text}")
        what = text.partition(": ")[0]
        self.happened[text if what in ("disaster", "down", "doubt", "interrupted") else what] += 1

    def _torn(self) -> int | None:
        return self.rng.choice((None, self.rng.getrandbits(32)))

    # -- devices at work ---------------------------------------------------------------------------------------------

    def work(self) -> None:
        count = self.rng.choice((1, 1, 2, 3, 6))
        pairs = [(device, device.wish()) for device in self.rng.choices(self.devices, k=count)]
        late = set(conflicts([wish for _, wish in pairs]))
        self._ask([pair for number, pair in enumerate(pairs) if number not in late])

    def keep_up(self) -> None:
        if self.house.readable:
            self.rng.choice(self.devices).keep_up(self._send)

    def _send(self, request: Request) -> Answer:
        answer = self._request(request)
        ahead = self._lossy and request.method == "REPORT" and answer.status == 503
        if not ahead and not self._closed:
            self._check_status(answer, f"{request.method} {request.path}")
        return answer

    def _request(self, request: Request) -> Answer:
        """One of a device that keeps up: a proof of a loss that comes with it may make a change (I64)."""
        same = Doubt(self.clock.now(), self.oracle.world, ())
        self.house.groups = []
        self._closed = False
        try:
            answer = self.house.requests([request])[0]
        finally:
            for group in self.house.groups:
                if group.results is None or any(isinstance(result, Held) for result in group.results):
                    self.oracle.doubts.append(same)
                elif self.house.readable:
                    self.oracle.acknowledge(same, self.clock.now(), self._changes())
        self._closed = self._is_closed(answer)
        return answer

    def _is_closed(self, answer: Answer) -> bool:
        """Whether this is the answer of a collection that a device has proved to lack something."""
        return self._lossy and answer.status == 503 and b"cannot be listed now" in answer.body

    def _check_status(self, answer: Answer, asked: str) -> None:
        if answer.status == 500 or (answer.status in TROUBLE and not self._troubled()):
            raise Wrong(f"{asked} was answered {answer.status}: {answer.body[-300:]!r}", "I79")

    def _troubled(self) -> bool:
        return self._faulty or self.house.engine.stopped is not None or self.house.disk.capacity_bytes is not None

    def _ask(self, pairs: Sequence[tuple[Device, Wish]]) -> None:
        """Send wishes at once, and have the oracle judge what comes of them."""
        if not self.house.readable:
            return
        wishes = [wish for _, wish in pairs]
        before = self.oracle.world
        troubled = self._troubled()
        self.note("ask: " + "; ".join(f"{d.name} {w.op} {w.shelf}/{w.name}" for d, w in pairs))
        try:
            with self._working("writer"):
                self.house.requests([request_of(wish) for wish in wishes])
        finally:
            answers = list(self.house.answers)
            told: dict[int, Verdict] = {}
            for group in self.house.groups:
                verdicts = self._judge([wishes[n] for n in group.requests], group.results)
                told.update(zip(group.requests, verdicts, strict=True))
            for (device, wish), answer in zip(pairs, answers, strict=True):
                device.heard(wish, None if answer is None else answer.status)
        for number, (wish, answer) in enumerate(zip(wishes, answers, strict=True)):
            assert answer is not None
            if self._is_closed(answer) or (answer.status in TROUBLE and (troubled or self._troubled())):
                continue
            self._check_status(answer, f"{wish.op} {wish.shelf}/{wish.name}")
            verdict = told.get(number) or self.oracle.judge(wish, before)
            if answer.status not in verdict.statuses:
                raise Wrong(
                    f"{wish.op} {wish.shelf}/{wish.name} was answered {answer.status}, not {set(verdict.statuses)}: "
                    f"{answer.body[-300:]!r}",
                    "I13" if answer.status == 404 else "I10",
                )
            if wish.op in TRANSFERS:
                self.happened[f"{wish.op} {answer.status}"] += 1
            if wish.op == "put" and answer.status < 300 and answer.headers.get("etag") != etag_of(wish.body):
                raise Wrong(f"{wish.shelf}/{wish.name} was answered with the tag {answer.headers.get('etag')}", "I17")

    def _judge(self, wishes: Sequence[Wish], results: Sequence[Outcome | SafeholdError] | None) -> list[Verdict]:
        """Tell the oracle what became of a group: of what was held back in it nobody knows, the rest has happened."""
        held = [results is None or isinstance(results[n], Held) for n in range(len(wishes))]
        done = [wish for wish, is_held in zip(wishes, held, strict=True) if not is_held]
        verdicts, group = self.oracle.judge_group(done)
        if done:
            # Where the writer has stopped these are refusals that have left nothing, and the rest may still be open.
            stopped = self.house.engine.stopped is not None
            changes = self.oracle.moments[-1].changes if stopped else self._changes()
            self.oracle.acknowledge(group, self.clock.now(), changes)
        if any(held):
            _, doubt = self.oracle.judge_group([wish for wish, is_held in zip(wishes, held, strict=True) if is_held])
            self.oracle.doubt(doubt, self.clock.now())
        told = iter(verdicts)
        return [Verdict(TROUBLE, self.oracle.world) if is_held else next(told) for is_held in held]

    def _changes(self) -> int:
        """All but those by which a doubt of the end comes on record and goes, which nobody asked for."""
        with self.calm():
            reads = self.house.reads
            doubts = sum(one.name.startswith(DOUBT_PREFIX) for one in reads.history(0, kind=Kind.IDENTITY))
            return reads.counts()["changes"] - doubts

    def undo(self) -> None:
        """Back to some moment: an item, a collection or a kind."""
        if not self.house.readable or self._clock_was_set:
            return
        moment = self.rng.choice(self.oracle.moments[-8:])
        user = self.rng.choice(self._known_users())
        shelf, name, kind = user, "", ""
        if self.rng.random() < 0.2:
            kind = self.rng.choice(KINDS)
        else:
            both = {**moment.world, **self.oracle.world}
            shelf = self.rng.choice([path for path in both if path.startswith(user + "/")])
            shelves = [world[shelf] for world in (moment.world, self.oracle.world) if shelf in world]
            names = sorted({name for each in shelves for name in each.items})
            if names and "/scores/" not in shelf and self.rng.random() < 0.6:
                name = self.rng.choice(names)
        wish = Wish("undo", shelf, name, type=kind, to=moment.at)
        self.note(f"undo: {shelf}/{name} {kind}")
        command = Undo(
            account=self.house.account(user).id,
            to=moment.at,
            kind=Kind(kind) if kind else None,
            path=shelf.partition("/")[2] or None,
            name=name or None,
        )
        self._command(wish, command)

    def _command(self, wish: Wish, command: AnyCommand) -> None:
        _, group = self.oracle.judge_group([wish])
        try:
            with self._working("writer"):
                result = self.house.engine.execute_all([command])[0]
        except BaseException:
            self.oracle.doubt(group, self.clock.now())
            raise
        (verdict,) = self._judge([wish], [result])
        if isinstance(result, Held):
            if not self._troubled():
                raise Wrong(f"{wish.op} {wish.shelf}/{wish.name} was answered: {result.message}", "I79")
            return
        status = 404 if isinstance(result, NotFound) else 409 if isinstance(result, Conflict) else 200
        status = 201 if status == 200 and wish.op == "account" else status
        if status not in verdict.statuses or (isinstance(result, RequestError) and status < 300):
            raise Wrong(f"{wish.op} {wish.shelf}/{wish.name} came to {result!r}, not {set(verdict.statuses)}", "I10")

    def _known_users(self) -> list[str]:
        return sorted({path.partition("/")[0] for path in self.oracle.world})

    def add_account(self) -> None:
        if not self.house.readable:
            return
        name = f"user{len(self.users)}"
        self.users.append(name)
        self.note(f"account: {name}")
        self._command(Wish("account", name), self.house.new_account(name))
        if name in self._known_users():
            self.devices.append(self._device(name))

    def take_tokens(self) -> None:
        if self.house.readable:
            self.tokens.take_some()

    def ask_tokens(self) -> None:
        if self.house.readable:
            self.tokens.ask_some()

    def _send_freely(self, request: Request) -> Answer:
        """Where 503 may be the right answer."""
        answer = self._request(request)
        if answer.status == 500:
            raise Wrong(f"{request.method} {request.path} was answered 500", "I79")
        return answer

    # -- what runs beside --------------------------------------------------------------------------------------------

    @contextmanager
    def _working(self, who: str) -> Iterator[None]:
        before, self._at_work = self._at_work, who
        try:
            yield
        finally:
            self._at_work = before

    def ship(self) -> None:
        with self._working("shipper"):
            for _ in range(self.rng.choice((1, 5, 600, 600))):
                if not self.house.scheduler.run_one():
                    break
        self._check_shippers()
        if self.rng.random() < 0.5:
            self.read_status()

    def _check_shippers(self) -> None:
        for name, error in self.house.scheduler.failures:
            raise Wrong(f"{name} failed: {error!r}", "I31") from error

    def pass_time(self) -> None:
        self.clock.advance(self.rng.choice((0.5, 1, 11, 60)))
        with self._working("writer"):
            self._tick()

    def _tick(self) -> bool:
        stopped = self.house.engine.stopped is not None
        writing = self.house.tick()
        if stopped and writing:
            self._settle()
        return writing

    def read_status(self) -> None:
        if not self.house.readable:
            return
        with self.calm():
            truth = Truth(self.house, self.oracle)
        writing = self.house.engine.stopped is None
        if writing:
            truth.check_near()
        try:
            shipper = self.house.writer.shippers[0]
            reported, lag = shipper.unarchived_changes, shipper.lag_seconds
        except SafeholdError:
            if not self._troubled():
                raise
            return
        truth.check_far(reported, None if self._clock_was_set else lag)
        if reported == 0 and writing:
            self._shipped = self.oracle.now

    def _on_write_point(self, operation: str, path: str) -> None:
        if self._fuse is not None:
            self._fuse -= 1
            if self._fuse <= 0:
                self._fuse = None
                self.note(f"crash: at {operation} {path}")
                raise Crash
        if self._interrupted or not self._at_work or self.rng.random() > 0.05:
            return
        self._interrupted = True
        self.happened[f"interrupted: {self._at_work}"] += 1
        try:
            if self._at_work == "writer":
                self.house.scheduler.run_one()
            elif self.house.engine.stopped is None:
                self.work()
        finally:
            self._interrupted = False

    # -- faults ------------------------------------------------------------------------------------------------------

    def break_something(self) -> None:
        """A disk that fails in one of its parts, or is nearly full, until somebody sees to it."""
        self._faulty = True
        self.note(break_disk(self.house.disk, self.rng))

    def light_fuse(self) -> None:
        """The power goes at one of the next write points."""
        self._fuse = self.rng.randint(1, 40)

    def set_clock(self) -> None:
        """The wall clock jumps."""
        self._clock_was_set = True
        self.clock.jump(self.rng.choice((-3600, -5, 5, 3600)))

    def another_writer(self) -> None:
        """Another process takes the log over: this one may acknowledge nothing more, and is ended."""
        if self.house.engine.stopped is not None:
            return
        with self.calm():
            take_over(self.house)
        before = self.house.engine.log.position
        self.work()
        if self.house.engine.log.position != before:
            raise Wrong("it writes on although another writer has taken over", "I6")
        self._stopped = self._struck = True
        raise Crash

    def stop(self) -> None:
        """The process ends as it is told to, as far as its disks let it."""
        try:
            self.house.close()
        except SafeholdError:
            if not self._troubled():
                raise
        self._stopped = self._struck = True
        raise Crash

    def strike(self) -> None:
        if self.rng.random() < 0.5:
            self.take_tokens()
        if self.rng.random() < 0.4:  # now and then all is in both vaults
            self.house.scheduler.run_for(60)
        self._struck = True
        raise Crash

    def _mend(self) -> None:
        """The faults are over: the writer must go on by itself."""
        self.house.disk.mend()
        self.house.disk.capacity_bytes = None
        for _ in range(3):
            self.clock.advance(1)
            if self.house.engine.stopped is None or self._tick():
                break
        if self.house.engine.stopped is not None:
            raise Wrong(
                f"the disks are whole again, and the writer does not go on: {self.house.engine.stopped!r}", "I4"
            )
        self._faulty = False

    # -- disasters ---------------------------------------------------------------------------------------------------

    def _black_out(self) -> None:
        """The power went, or the process was killed; what else is lost, and how the house comes back."""
        self._fuse = None
        differs = self._far_differs()
        self._go_down()
        kinds = ["restart"] * 6 + ["core"] * 2 + ["rot"] * 2 + ["blobs", "far"]
        if self._shipped is not None:
            kinds += ["core and near"] * 7 + ["near"] * 3
        if self._shipped is not None and same_objects(self.house.disk, "/near", "/far"):
            kinds += ["core, near hurt"] * 6
        disaster = "far" if differs else self.rng.choice(kinds)
        self.note(f"disaster: {disaster}")
        self._unknown_since = float(self.clock.now())
        disk = self.house.disk
        if disaster.startswith("core"):
            disk.lose(CORE_FOLDER)
            disk.lose("/blobs")
        if disaster.endswith("near"):
            disk.lose("/near")
        if disaster.endswith("hurt"):
            self.note(f"hurt: {hurt_vault(disk, '/near', self.rng)}")
        if disaster == "rot":
            rot(disk, f"{CORE_FOLDER}/core.db", self.rng)
        if disaster == "blobs":
            disk.lose("/blobs")
        if disaster == "far":
            disk.lose("/far")
            self._shipped = None
        self._replaced = False
        strikes = self.rng.choice((0, 0, 0, 1, 2))
        while True:
            if strikes:
                strikes -= 1
                self._fuse = self.rng.randint(1, 150)
            try:
                self._come_back(disaster)
                break
            except Wrong:
                raise
            except (Crash, Exception) as error:
                if self.house.disk.dead:
                    self._go_down()
                    continue
                if not isinstance(error, SafeholdError | OSError):
                    raise
                if self.house.disk.capacity_bytes is None:
                    raise Wrong(f"the house does not come back: {error!r}", "I27") from error
                self.note("full: while the house came back")
                self._go_down()
                self.house.disk.capacity_bytes = None
            finally:
                self._fuse = None

    def _go_down(self) -> None:
        killed = self._stopped or self.rng.random() < 0.25
        self._stopped = False
        self.note("down: killed" if killed else "down: power")
        self.house = self.house.kill() if killed else self.house.crash(self._torn())
        self.house.disk.on_write_point = self._on_write_point
        self._faulty = False

    def _come_back(self, disaster: str) -> None:
        house = self.house
        house.load_keys()
        if disaster == "far":
            FolderVault.create("far", "/far", house.disk, house.keyring.installation).close()
        holes: Sequence[Hole] = ()
        if disaster.startswith("core") or disaster == "rot":
            plan, result = recover(self.house)
            holes = plan.holes
            # A torn end of the sync vault looks like damage to what was acknowledged last.
            torn = any(problem.startswith(NEAR.name) for problem in plan.problems)
            self._check_report(result, lossy=torn or "near" in disaster)
        if disaster.endswith(("near", "hurt")) and not self._replaced:
            if disaster.endswith("hurt"):  # thrown away, once all that it may have had is in the core
                house.disk.lose("/near")
            make_near(self.house)
            self._replaced = True  # what a start then writes is nowhere else yet
        self._start(mend=disaster == "near", lossy=disaster == "core and near", set_aside=holes)

    def _check_report(self, result: Result, *, lossy: bool) -> None:
        self.note(f"report: {result.report.unknown_seconds} {result.notes}")
        report = result.report
        if report.lost or not report.verified or any(i.expected != i.exact for i in report.items.values()):
            raise Wrong(f"the recovery reports losses: {msgspec.json.encode(report).decode()}", "I29")
        if report.unknown_seconds and not lossy and not self._clock_was_set:
            raise Wrong(f"the sync vault is whole, and the recovery does not know {report.unknown_seconds} s", "I29")
        self._unknown_since = min(self._unknown_since, self.clock.now() - report.unknown_seconds * 1_000_000)

    # -- after a start -----------------------------------------------------------------------------------------------

    def _start(self, *, mend: bool = False, lossy: bool = False, set_aside: Sequence[Hole] = ()) -> None:
        self.house.boot(mend=mend, set_aside=set_aside)
        self._accept_end()
        self._settle(lossy=lossy)

    def _accept_end(self) -> None:
        """Where a recovery could not know how the log had ended, no list is given until somebody accepts that (I64).

        Nobody can on a disk that has filled up while the house came back. Raises OutOfSpace then: it needs room first.
        """
        if not doubts_of(self.house.reads):
            return
        if self.house.engine.stopped is not None:
            raise self.house.engine.stopped
        with self.calm():
            self.house.engine.execute(AcceptEnd(account=SYSTEM_ACCOUNT, actor="operator"))

    def _settle(self, *, lossy: bool = False) -> None:
        """The house has read back what there is: compare all of it with what must be."""
        with self.calm():
            doubts, before = len(self.oracle.doubts), self.oracle.now
            seen, now = read_world(self.house, self.users), self.clock.now()
            lost = self.oracle.settle(seen, self._changes(), now, first=self._shipped if lossy else None)
            if doubts:
                self.note("doubt: it had happened" if self.oracle.now > before else "doubt: it had not happened")
            if lost:
                self._forget(lost)
            self.tokens.ask_some()
            self.tokens.ask_those_beyond()

    def _forget(self, lost: Sequence[Moment]) -> None:
        """History lost its end: what was seen of it must not be denied."""
        self.note(f"lost: {len(lost)} moments")
        if not self._clock_was_set and any(moment.at < self._unknown_since for moment in lost):
            raise Wrong("the recovery lost changes from before the time that it says it does not know", "I29")
        last = self.oracle.now
        self._lossy = True
        for moment in lost:
            for path, shelf in moment.world.items():
                now = self.oracle.world.get(path)
                self._lost_items.update((path, n) for n in shelf.items if now is None or n not in now.items)
        self.tokens.forget(lost, self._known_users())
        self.devices = [device for device in self.devices if device.user in self._known_users()]
        self._shipped = min(self._shipped, last) if self._shipped is not None else None

    # -- devices afterwards ------------------------------------------------------------------------------------------

    def _removed(self, device: Device, path: str, name: str, why: str) -> None:
        if self.oracle.asked_for(path, name):
            return
        if (path, name) in self._lost_items and why not in ("sync", "token"):
            self.exposed += 1
            return
        raise Wrong(f"{device.name} dropped {path}/{name} for its {why}, and nobody deleted it", "law 2")

    def _compare_copy(self, device: Device) -> None:
        """A device that could keep up has what the server has."""
        if self._lossy:
            return
        for path, kept in device.kept.items():
            shelf = self.oracle.world.get(path)
            there = {} if shelf is None else {name: thing.etag for name, thing in shelf.items.items()}
            here = {name: copy.etag for name, copy in kept.items.items()}
            if here != there:
                raise Wrong(f"{device.name} has {here} in {path}, not {there}", "law 2")


def run_seed(seed: int) -> Simulation:
    """One course that must not fail."""
    return run_course(Simulation, seed)
