"""Ids: in order, unlike each other, and of one form."""

import re
import threading

from noisegate.store.ids import new_id


def test_ids_of_one_process_rise() -> None:
    ids = [new_id("exe") for _ in range(5000)]
    assert ids == sorted(set(ids))
    assert all(re.fullmatch(r"exe_[0-9a-f]{32}", id) for id in ids)


def test_threads_get_no_id_twice() -> None:
    found: list[str] = []

    def draw() -> None:
        found.extend([new_id("x") for _ in range(2000)])

    threads = [threading.Thread(target=draw) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(found)) == 8000
