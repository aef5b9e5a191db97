"""Tables with a column of 0 and 1 for each class."""

import time

from .reading import classes, read


def test_thousands_of_columns_take_seconds() -> None:
    count, columns = 400, 4_000
    images = [f"{n}.png" for n in range(count)]
    rows = "".join(f"{n}.png,{'0,' * (n // 2)}1{',0' * (columns - n // 2 - 1)}\n" for n in range(count))
    table = f"file,{','.join(f'kind {at}' for at in range(columns))}\n{rows}"
    started = time.process_time()
    layout = read(images, {"labels.csv": table})
    assert time.process_time() - started < 5
    assert classes(layout, images) == {f"{n}.png": f"kind {n // 2}" for n in range(count)}
