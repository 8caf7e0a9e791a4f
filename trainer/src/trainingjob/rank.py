"""One of several processes that train together, as torchrun starts them: what it may say, and how it ends."""

import ctypes
import json
import os
import signal
import sys
import time
from pathlib import Path

from trainingjob import reporting

# Set by torchrun, in each process that it starts.
_LAUNCHED, _RANK, _ERROR_FILE = "TORCHELASTIC_RUN_ID", "RANK", "TORCHELASTIC_ERROR_FILE"
_PR_SET_PDEATHSIG = 1


def launched() -> bool:
    """Whether torchrun started this process."""
    return _LAUNCHED in os.environ


def begin() -> None:
    """Makes this process one of several: it ends with the one that started it, and only the first of them reports and prints.

    torchrun sends SIGTERM when another rank is gone. The first leaves by the end of what it does with the others, and what it is
    storing meanwhile is stored; the others have nothing to store. A wish to stop comes as a file, not as a signal.
    """
    if sys.platform == "linux":
        # They have sessions of their own, so that what kills the group of the one that started them would miss them.
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    first = os.environ[_RANK] == "0"
    signal.signal(signal.SIGTERM, signal.SIG_IGN if first else signal.SIG_DFL)
    if not first:
        reporting.silence()
        sys.stdout = Path(os.devnull).open("w")  # noqa: SIM115


def tell_failure(message: str) -> None:
    """Leaves what went wrong where whoever started the ranks finds it, with its time: the first failure is the cause."""
    file = os.environ.get(_ERROR_FILE, "")
    if file:
        Path(file).write_text(json.dumps({"message": message, "timestamp": int(time.time())}))
