"""The spool: nothing lost, nothing doubled, in order, wherever the process dies."""

import errno
import itertools
import json
from pathlib import Path

from tests.ledger import Ledger
from trainingjob.agent import spool as module
from trainingjob.agent.spool import Batch, Spool, chunks
from trainingjob.storage.folder import write_file


def event(number, **members):
    return {"type": "point", "step": number, "metrics": {}, **members}


def filled(folder, *batches):
    spool = Spool(folder)
    for numbers in batches:
        assert spool.append([event(number) for number in numbers]) is None
    return spool


def steps(batch):
    return None if batch is None else (batch.sequence, [event["step"] for event in batch.events])


def files(folder):
    return sorted(path.stem for path in folder.glob("*.json") if path.stem != "session")


def test_batches_come_in_order_with_sequences_from_1(tmp_path):
    spool = filled(tmp_path, [1], [2, 3], [4])
    seen = []
    while (batch := spool.first()) is not None:
        seen.append(steps(batch))
        spool.acknowledge()
    assert seen == [(1, [1]), (2, [2, 3]), (3, [4])]
    assert files(tmp_path) == []


def test_new_process_goes_on_with_session_and_sequence(tmp_path):
    before = filled(tmp_path, [1], [2])
    before.acknowledge()
    after = Spool(tmp_path)
    assert after.session == before.session
    assert after.first() == Batch(2, [event(2)])
    after.acknowledge()
    last = Spool(tmp_path)
    assert last.first() is None
    last.append([event(3)])
    assert steps(last.first()) == (3, [3])


def test_more_than_ten_batches_keep_their_order(tmp_path):
    filled(tmp_path, *[[number] for number in range(25)])
    spool = Spool(tmp_path)
    for number in range(25):
        assert steps(spool.first()) == (number + 1, [number])
        spool.acknowledge()


def test_new_session_numbers_what_waits_from_1(tmp_path):
    spool = filled(tmp_path, [1], [2], [3])
    spool.acknowledge()
    old = spool.session
    spool.restart()
    assert spool.session != old
    assert steps(spool.first()) == (1, [2])
    again = Spool(tmp_path)
    assert (again.session, steps(again.first())) == (spool.session, (1, [2]))


def test_batch_that_is_set_aside_is_kept_and_the_next_takes_its_sequence(tmp_path):
    spool = filled(tmp_path, [1], [2])
    kept = spool.set_aside()
    assert kept.parent.name == "refused"
    assert json.loads(kept.read_text()) == [event(1)]
    assert steps(spool.first()) == (1, [2])
    assert steps(Spool(tmp_path).first()) == (1, [2])


def test_split_batch_goes_out_in_halves_before_the_rest(tmp_path):
    spool = filled(tmp_path, [1, 2, 3, 4, 5], [6])
    spool.split()
    assert steps(Spool(tmp_path).first()) == (1, [1, 2])
    spool.acknowledge()
    assert steps(spool.first()) == (2, [3, 4, 5])
    spool.split()
    seen = []
    while (batch := spool.first()) is not None:
        seen.append(steps(batch))
        spool.acknowledge()
        spool = Spool(tmp_path)
    assert seen == [(2, [3]), (3, [4, 5]), (4, [6])]


class Crash(BaseException):
    """The process dies here."""


def dies_before(monkeypatch, operation):
    """Makes the process die before its n-th operation on the disk, from now on."""
    numbers = itertools.count(1)
    write, unlink = write_file, Path.unlink

    def step():
        if next(numbers) == operation:
            raise Crash

    def dying_write(path, content):
        step()
        write(path, content)

    def dying_unlink(path, *args, **options):
        if path.suffix == ".json":
            step()
        unlink(path, *args, **options)

    monkeypatch.setattr(module, "write_file", dying_write)
    monkeypatch.setattr(Path, "unlink", dying_unlink)


def deliver(spool, ledger):
    """What the agent's sender does with the answers."""
    while (batch := spool.first()) is not None:
        status = ledger.accept(spool.session, batch.sequence, batch.events)
        if status == 200:
            spool.acknowledge()
        elif status == 409:
            spool.restart()
        elif len(batch.events) > 1:
            spool.split()
        else:
            spool.set_aside()


def test_every_event_arrives_once_and_in_order_wherever_the_process_dies(tmp_path, monkeypatch):
    # Batches that are alike, a refused event amid good ones, refused ones side by side, a batch of nothing else.
    batches = [[1], [1], [2, 3, 66, 4, 5], [6], [66, 66], [7, 8], [66], [9]]
    wanted = [number for numbers in batches for number in numbers if number != 66]
    for operation in itertools.count(1):
        folder, ledger = tmp_path / str(operation), Ledger(lambda event: event["step"] == 66)
        spool = filled(folder, *batches)
        with monkeypatch.context() as patch:
            dies_before(patch, operation)
            try:
                deliver(spool, ledger)
                died = False
            except Crash:
                died = True
        deliver(Spool(folder), ledger)
        assert [event["step"] for event in ledger.events] == wanted, f"died before operation {operation}"
        assert files(folder) == []
        refused = [json.loads(path.read_text()) for path in sorted((folder / "refused").iterdir())]
        assert refused == [[event(66)]] * 4
        if not died:
            assert operation > 30
            return


def test_conflict_on_the_way_begins_a_new_session_that_delivers_the_rest(tmp_path):
    spool, ledger = filled(tmp_path, [1], [2], [3]), Ledger()
    # The operator knows this session's first sequence with another content.
    ledger.accept(spool.session, 1, [event(0)])
    deliver(spool, ledger)
    assert [event["step"] for event in ledger.events] == [0, 1, 2, 3]
    assert ledger.conflicts == 1


def test_full_disk_keeps_batches_in_memory(tmp_path, monkeypatch):
    spool, ledger = filled(tmp_path, [1]), Ledger(lambda event: event["step"] == 66)

    def full(_path, _content):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_file", full)
        problem = spool.append([event(2), event(66), event(3)])
        assert problem is not None
        assert "No space left" in problem
        assert spool.append([event(4)]) is not None
        deliver(spool, ledger)
    spool.append([event(5)])
    deliver(spool, ledger)
    assert [event["step"] for event in ledger.events] == [1, 2, 3, 4, 5]
    assert ledger.repetitions == ledger.conflicts == 0


def test_snapshot_goes_on_elsewhere_without_doubles(tmp_path):
    spool, ledger = filled(tmp_path / "a", [1], [2], [3]), Ledger()
    ledger.accept(spool.session, 1, [event(1)])
    spool.acknowledge()
    snapshot = json.loads(json.dumps(spool.snapshot()))
    # More of it arrives after the snapshot was taken.
    ledger.accept(spool.session, 2, [event(2)])
    elsewhere = Spool(tmp_path / "b")
    elsewhere.append([event(9)])
    elsewhere.adopt(snapshot, same_session=True)
    deliver(elsewhere, ledger)
    assert [event["step"] for event in ledger.events] == [1, 2, 3]
    assert (ledger.repetitions, ledger.conflicts) == (1, 0)


def test_snapshot_of_an_earlier_attempt_is_reported_in_a_session_of_this_one(tmp_path):
    spool = filled(tmp_path / "a", [1], [2])
    spool.acknowledge()
    other = Spool(tmp_path / "b")
    other.adopt(spool.snapshot(), same_session=False)
    assert other.session != spool.session
    assert steps(other.first()) == (1, [2])


def test_batches_stay_below_what_the_operator_takes():
    events = [event(number) for number in range(10)]
    size = len(json.dumps([events[0]]))
    assert [len(batch) for batch in chunks(events, 4, 1_000_000)] == [4, 4, 2]
    assert [len(batch) for batch in chunks(events, 200, 3 * size)] == [3, 3, 3, 1]
    large = event(5, note="x" * 1000)
    assert chunks([events[0], large, events[1]], 200, 500) == [[events[0]], [large], [events[1]]]
    assert chunks([], 200, 500) == []
