"""`llamaberry chat`: a conversation in the terminal, question by question on one thread."""

import sys
from typing import Any

from llamaberry.cli.ask import ContinueOption, ServerOption, ThreadOption, new_session, thread_of
from llamaberry.cli.line_reader import is_interactive, line_history, read_line
from llamaberry.cli.options import OutputMode, QuietOption, ShowOption, VerboseOption, context_options, output_mode
from llamaberry.console import INTERRUPTED, one_line, print_error
from llamaberry.graph.context import Context
from llamaberry.graph.errors import LlamaberryError, SetupError
from llamaberry.threads.location import checkpoint_location, new_name

COMMANDS = {
    "/new": "start a new conversation",
    "/show": "print the last question's run as a tree",
    "/resume": "continue the question that was interrupted",
    "/help": "print this list",
    "/quit": "leave, as Ctrl-D does",
}


@context_options()
def chat(
    settings: dict[str, Any],
    thread: ThreadOption = None,
    continue_: ContinueOption = False,
    show: ShowOption = "full",
    verbose: VerboseOption = False,
    quiet: QuietOption = False,
    server: ServerOption = None,
) -> int:
    """Hold a conversation: a question a line, until Ctrl-D.

    Each is answered as `ask` does. Ctrl-C ends a run, not the conversation. Ctrl-D or /quit leaves, /help lists the
    commands. What is piped to it is a question a line.
    """
    Context(**settings)  # an invalid setting is refused before the first question
    thread = thread_of(thread, server, newest=continue_)
    stored = checkpoint_location() != "none"
    if not stored and server is None:
        raise SetupError("LLAMABERRY_CHECKPOINTS is none: a conversation needs a thread that is stored; unset it")
    mode = output_mode(show, verbose=verbose, quiet=quiet, json=False)
    conversation = Conversation(mode, settings, thread or new_name(), server)
    with line_history(stored=stored):
        try:
            return conversation.run()
        finally:
            conversation.close()


class Conversation:
    """A conversation: its thread, and the loop that reads questions and commands."""

    def __init__(self, mode: OutputMode, settings: dict[str, Any], thread: str, server: str | None) -> None:
        self.thread = thread
        self._mode, self._settings, self._server = mode, settings, server
        self._asked = False  # a question of this conversation has run

    def run(self) -> int:
        """Read and answer lines until the last one; return the exit code.

        Raises:
            LlamaberryError: a question failed that no person typed; those after it are not asked.
        """
        interactive, code = is_interactive(), 0
        if interactive:
            print_line("A question a line. Ctrl-C ends a run, Ctrl-D leaves, /help lists the commands.")
        while True:
            try:
                line = read_line()
                if line is None or line == "/quit":
                    return 0 if interactive else code
                result = self._handle(line) if line else 0
            except KeyboardInterrupt:
                result = INTERRUPTED
                if interactive:
                    print_line("")
            except LlamaberryError as error:
                if not interactive:
                    raise
                print_error(str(error))
                continue
            if result == INTERRUPTED and not interactive:
                return INTERRUPTED
            code = code or result

    def close(self) -> None:
        """Stop the local model, if it runs."""
        if self._asked:
            from llamaberry.models.local import server as local_server

            local_server.close()

    def _handle(self, line: str) -> int:
        """Answer a question, or obey a command; return the exit code."""
        word = line.split()[0]
        if not word.startswith("/") or "/" in word[1:]:
            return self._ask(line)
        if line not in COMMANDS:
            raise SetupError(f"there is no command {one_line(line)!r}: /help lists them")
        match line:
            case "/new":
                self.thread = new_name()
                print_line(f"a new conversation, on thread {self.thread}")
            case "/show":
                self._refuse_on_server(line)
                from llamaberry.cli.show import print_thread

                print_thread(self.thread)
            case "/resume":
                self._refuse_on_server(line)
                return self._ask(None)
            case _:
                for command, meaning in COMMANDS.items():
                    print_line(f"{command:8} {meaning}")
        return 0

    def _refuse_on_server(self, command: str) -> None:
        if self._server is not None:
            raise SetupError(f"{command} reads the threads of this machine, and this one is on {self._server}")

    def _ask(self, question: str | None) -> int:
        """Answer a question; None continues the one that was interrupted."""
        self._asked = True
        session = new_session(self._mode, self._settings, self.thread, self._server, in_chat=True)
        try:
            return session.run(session.start({"query": question}) if question else session.resume({}))
        finally:
            self.thread = session.thread or self.thread  # "last" has the thread's name now


def print_line(text: str) -> None:
    """Print a line of the conversation's own to standard error: standard output has the answers."""
    sys.stderr.write(f"{text}\n")
