"""The environment in which the settings are read, for every test."""

import os
import tempfile

_folder = tempfile.mkdtemp(prefix="partner-console-")
os.environ |= {
    "SECRET_KEY": "only-for-tests-" + "s" * 50,
    # 32 bytes each, base64url; the second is there so that two keys are always in the ring.
    "ENCRYPTION_KEYS": "t2:AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=,"
    "t1:ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=",
    "BASE_URL": "http://console.test",
    "ALLOWED_HOSTS": "console.test,testserver,127.0.0.1,localhost",
    "DEVELOPMENT": "1",
    "STAND_IN_ORIGINS": "",
    "EMAIL_URL": "memorymail://",
    "QUEUE_FILE": f"{_folder}/queue.sqlite3",
    "SPOOL_DIR": f"{_folder}/spool",
    "METRICS_DIR": f"{_folder}/metrics",
}
