"""The local model's child process: llama.cpp's OpenAI-compatible server. `server.py` runs this file by its path.

It reads one line of JSON settings from stdin, prints its address to stdout, and ends when stdin closes or the process
in its first argument, its parent, has ended.
"""

import json
import os
import signal
import sys
import threading
import time


def main() -> None:
    """Load the model, and serve until stdin closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # the output of native code goes to the log
    threading.Thread(target=end_without_parent, args=(int(sys.argv[1]),), daemon=True).start()
    settings = json.loads(sys.stdin.readline())
    watch = threading.Thread(target=end_with_parent, daemon=True)
    watch.start()

    import xllamacpp  # type: ignore[import-untyped]

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {"local"}
    params.api_keys = [settings["key"]]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["slots"] * settings["slot_tokens"]
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # a free one
    params.ui = False
    params.endpoint_slots = False  # it would show prompts
    params.cache_ram_mib = 512  # for prompts of earlier conversations; the default is 8 GiB
    params.verbosity = 2  # warnings and errors
    server = xllamacpp.Server(params)
    print(json.dumps(server.listening_address), file=ready, flush=True)
    ready.close()
    watch.join()


def end_with_parent() -> None:
    """End this process when the parent closes the pipe or ends: at once, or after loading the model (seconds)."""
    while os.read(0, 1024):  # not sys.stdin: this thread would hold its lock, and an early exit of main would crash
        pass
    os._exit(0)


def end_without_parent(parent: int) -> None:
    """End this process when the parent has ended, also if a fork of the parent keeps the pipe open.

    Windows reports a parent that has ended as well, but has no fork.
    """
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(0)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:  # llama.cpp has logged the cause; a normal exit flushes the log
        sys.exit(str(error))
