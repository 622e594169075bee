"""Several workers on one database and one queue, and what happens when the queue is gone."""

import json
import os
import re
import socket
import time

import pytest
import requests
from django.test import Client

from tests.deployed import connect, deployed, wait_until
from tests.stand_ins.process import free_port

REDIS = os.environ.get("TEST_REDIS", "redis://127.0.0.1:6379/9")
COUNT = 60


def redis_is_there() -> bool:
    host, port = re.search(r"//([^:/]+):(\d+)", REDIS).groups()
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex((host, int(port))) == 0


needs_redis = pytest.mark.skipif(
    not redis_is_there() and os.environ.get("CI") != "true",
    reason=f"Redis does not answer at {REDIS}: apt install redis-server",
)


def renewed_by(worker) -> set[str]:
    """The jobs that this worker says it has done."""
    lines = [json.loads(line) for line in worker.log().splitlines() if line.startswith("{")]
    return {line["job"] for line in lines if line["message"].startswith("renew done")}


@needs_redis
def test_two_workers_on_redis_share_the_work_and_do_nothing_twice(tmp_path):
    """No code changes: three addresses in the environment. On PostgreSQL where DATABASE_URL names it."""
    import redis

    queue = redis.Redis.from_url(REDIS)
    queue.flushdb()
    try:
        changes = {
            "QUEUE_URL": REDIS,
            "CACHE_URL": f"rediscache://{REDIS.split('//')[1]}",
            "LOG_FORMAT": "json",
        }
        with deployed(tmp_path, "--workers", "2", **changes) as made:
            workers = [made.start_worker(), made.start_worker()]
            # The server names them before there is anything to do.
            wait_until(lambda: "ready" in status(made))
            # Two web processes count the tries of one address together.
            within_a_minute()
            answers = [
                requests.get(f"{made.origin}/s/guessed/", headers={"Connection": "close"}, timeout=10)
                for _ in range(22)
            ]
            assert [answer.status_code for answer in answers] == [404] * 20 + [429] * 2
            made.rotating.control(slow=0.2)
            connect(made, [f"g{number}" for number in range(COUNT)])
            wait_until(lambda: sum(len(renewed_by(worker)) for worker in workers) >= COUNT)
            done = [renewed_by(worker) for worker in workers]
            assert len(done[0] | done[1]) == COUNT
            assert not done[0] & done[1]
            assert all(done), "one of them did nothing"
            asked = made.rotating.asked
            assert (asked["token"], asked["reused"]) == (COUNT, 0)
            assert [worker.end() for worker in workers] == [0, 0]
    finally:
        queue.flushdb()


def within_a_minute() -> None:
    """Tries are counted by the minute: not over the edge of one."""
    into = time.time() % 60
    time.sleep(60 - into if into > 50 else 0)


def status(made) -> str:
    answer = requests.get(made.origin + "/readyz", timeout=10)
    return answer.json()["status"] if answer.status_code == 200 else ""


def test_without_its_queue_a_worker_looks_for_work_by_itself(tmp_path):
    nowhere = {"QUEUE_URL": f"redis://127.0.0.1:{free_port()}/0"}
    with deployed(tmp_path, **nowhere) as made:
        connect(made, ["a", "b"])
        made.start_worker()
        wait_until(lambda: made.rotating.asked["token"] == 2)


def test_without_its_cache_each_process_counts_tries_by_itself(settings, db):
    settings.CACHES = {
        **settings.CACHES,
        "default": {
            "BACKEND": "django.core.cache.backends.redis.RedisCache",
            "LOCATION": f"redis://127.0.0.1:{free_port()}/0",
        },
    }
    within_a_minute()
    answers = [Client(HTTP_HOST="console.test").get("/s/guessed/").status_code for _ in range(22)]
    assert answers == [404] * 20 + [429] * 2


def test_a_worker_that_is_asked_to_end_finishes_the_job_in_hand_and_begins_no_other(tmp_path):
    with deployed(tmp_path, LOG_FORMAT="json") as made:
        made.rotating.control(slow=1.0)
        connect(made, [f"g{number}" for number in range(60)])
        worker = made.start_worker("--threads", "2")
        wait_until(lambda: made.rotating.asked["token"])
        time.sleep(0.5)
        started = time.monotonic()
        assert worker.end() == 0
        assert time.monotonic() - started < 15
        asked = made.rotating.asked["token"]
        # What the provider was asked is all written down; the rest is for the next worker.
        assert len(renewed_by(worker)) == asked < 60
        assert made.shell("print(Credential.objects.exclude(lease_until=None).count())").strip() == "0"
