"""The program of the local model's child process: llama.cpp's own OpenAI server. Run by path, by `server.py`.

Standard input brings one line of settings, and its end is the order to end; standard output says the address, once.
"""

import json
import os
import signal
import sys
import threading


def main() -> None:
    """Load the model, serve until standard input closes."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    ready = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what native code prints belongs to the log
    settings = json.loads(sys.stdin.readline())
    watch = threading.Thread(target=end_with_parent, daemon=True)
    watch.start()

    import xllamacpp  # type: ignore[import-untyped]

    params = xllamacpp.CommonParams()
    params.model.path = settings["model"]
    params.model_alias = {"local"}
    params.api_keys = [settings["key"]]
    params.n_parallel = settings["slots"]
    params.n_ctx = settings["tokens"]  # of all slots
    params.hostnames = ["127.0.0.1"]
    params.port = 0  # any free one
    params.ui = False
    params.endpoint_slots = False  # it would show prompts
    params.cache_ram_mib = 512  # conversations beyond the slots; the default is 8 GiB
    params.verbosity = 2  # warnings and errors
    server = xllamacpp.Server(params)
    print(json.dumps(server.listening_address), file=ready, flush=True)
    ready.close()
    watch.join()


def end_with_parent() -> None:
    """End this process when the parent closes the pipe, or is gone: at once, or when the model is loaded (seconds)."""
    while os.read(0, 1024):  # not sys.stdin, whose lock, held by this thread, would turn main's early exit into a crash
        pass
    os._exit(0)


if __name__ == "__main__":
    try:
        main()
    except RuntimeError as error:  # llama.cpp has said why, and an orderly exit writes that to the log
        sys.exit(str(error))
