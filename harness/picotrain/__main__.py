"""`python3 -m picotrain`, and the command `picotrain`: the command line, whose own imports and end
may be interrupted too."""

import signal
import sys


def main() -> int:
    """Exit status of the verb in `sys.argv`."""
    try:
        from picotrain.cli import main as run

        code = run()
    except KeyboardInterrupt:
        print("picotrain: interrupted", file=sys.stderr)
        code = 128 + signal.SIGINT
    # Said and written is all: an interrupt now would only make a failure of it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    return code


if __name__ == "__main__":
    sys.exit(main())
