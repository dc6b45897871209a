"""What a stand-in command runs: it hands the command to its session's server, which has imported everything already.

`python -I -S stand_in.py DIRECTORY NAME ARGUMENT...`. Without a server in this session it becomes the command itself.
Built-in modules only: a script runs a hundred commands, and each of them waits for this to start.
"""

import _socket
import posix
import sys

ADDRESS = "\0virtual-node-session-{}"
# For those outside of a session, such as ssh: another process that has imported everything.
DOOR = b"VIRTUAL_NODE_DOOR"
# The server answers with a decimal number; a negative one is the signal that ended the command.
LONGEST_ANSWER = 16
SIGKILL = 9


def main() -> None:
    """Hand on arguments, directory, environment, umask and standard files, and end as the command ends."""
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    for address in (ADDRESS.format(posix.getsid(0)), b"\0" + posix.environ.get(DOOR, b"")):
        try:
            link.connect(address)
        except OSError:
            continue
        break
    else:
        source = __file__.rpartition("/tests/")[0]
        program = "from tests.virtual_node.host import main; main()"
        environment = {**posix.environ, b"PYTHONPATH": source.encode()}
        posix.execve(sys.executable, [sys.executable, "-P", "-S", "-c", program, *sys.argv[1:]], environment)
    words = [word.encode(errors="surrogateescape") for word in sys.argv[1:]]
    variables = [name + b"=" + value for name, value in posix.environ.items()]
    numbers = [str(number).encode() for number in (posix.getpid(), posix.umask(0), len(words))]
    message = b"\0".join([*numbers, posix.getcwdb(), *words, *variables])
    files = b"".join(number.to_bytes(4, sys.byteorder) for number in (0, 1, 2))
    link.sendmsg([len(message).to_bytes(4, "big")], [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, files)])
    link.sendall(message)
    answer = link.recv(LONGEST_ANSWER)
    # A server that was killed took the whole session along, and so this process.
    status = int(answer) if answer else -SIGKILL
    if status < 0:
        posix.kill(posix.getpid(), -status)
    posix._exit(status)


if __name__ == "__main__":
    main()
