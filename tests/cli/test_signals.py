"""Signals end a run even if the code of an encoder does not return."""

import os
import signal
import subprocess
import sys
import time

import pytest

PROGRAM = """
import threading, time
from concurrent.futures import ThreadPoolExecutor
from prima_features.cli.process import stopping_on_signals
with stopping_on_signals(), ThreadPoolExecutor(1) as pool:
    future = pool.submit(threading.Event().wait)
    print("ready", flush=True)
    future.result()
"""


@pytest.mark.skipif(os.name != "posix", reason="POSIX signals")
def test_the_third_signal_ends_a_run_whose_encoder_does_not_return() -> None:
    with subprocess.Popen([sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        try:
            for _ in range(3):
                assert process.poll() is None
                process.send_signal(signal.SIGINT)
                time.sleep(0.5)
            assert process.wait(30) == 130
        finally:
            process.kill()
