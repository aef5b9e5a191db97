"""Whether /classify takes longer because there are pages: the same application with and without them, in turns in one process.

    python benchmarks/classify_beside_pages.py [--rounds 40] [--answers 50]

A model of the digits answers a picture of 32 pixels, over ASGI and past no network. Processor time an answer, medians of rounds in
turns. Exits with 1 if they differ by 3 % or more.
"""

import argparse
import io
import statistics
import sys
import tempfile
import time
from pathlib import Path

from databases import database
from page_parts.content import trained_in
from PIL import Image
from record import keep
from starlette.testclient import TestClient

from noisegate.store.settings import Settings
from service import app as service
from service.pages import PAGES

TARGET = 0.03


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--answers", type=int, default=50)
    parser.add_argument("--busy", action="store_true", help="note that others shared the cores")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="noisegate-pages-") as name, database("sqlite", Path(name)) as url:
        trained_in(url, Path(name) / "data")
        settings = Settings(data_dir=Path(name) / "data", database_url=url, broker_url="memory://")
        rooms = service.ROOMS
        apps = {"with": service.create_app(settings)}
        service.ROOMS = tuple(room for room in rooms if room not in PAGES)  # type: ignore[assignment]
        apps["without"] = service.create_app(settings)
        with (
            TestClient(apps["with"], "http://127.0.0.1") as one,
            TestClient(apps["without"], "http://127.0.0.1") as two,
        ):
            taken = _measure({"with": one, "without": two}, asked.rounds, asked.answers)
    medians = {name: round(statistics.median(values), 4) for name, values in taken.items()}
    ratio = statistics.median(a / b for a, b in zip(taken["with"], taken["without"], strict=True))
    figures = {
        "milliseconds_an_answer": medians,
        "ratio": round(ratio, 4),
        "n": asked.rounds,
        "cores_shared": asked.busy,
    }
    print(figures)
    print(f"Kept in {keep('classify_beside_pages', figures)}")
    return 0 if abs(ratio - 1) < TARGET else 1


def _measure(clients: dict[str, TestClient], rounds: int, answers: int) -> dict[str, list[float]]:
    file = io.BytesIO()
    Image.new("RGB", (32, 32), (90, 120, 150)).save(file, "JPEG")
    taken: dict[str, list[float]] = {name: [] for name in clients}
    for number in range(rounds + 2):
        for name in sorted(clients, reverse=bool(number % 2)):
            began = time.process_time()
            for _ in range(answers):
                answer = clients[name].post(
                    "/classify", content=file.getvalue(), headers={"Content-Type": "image/jpeg"}
                )
                assert answer.status_code == 200, answer.text
            if number >= 2:  # the first load the model
                taken[name].append(1000 * (time.process_time() - began) / answers)
    return taken


if __name__ == "__main__":
    sys.exit(main())
