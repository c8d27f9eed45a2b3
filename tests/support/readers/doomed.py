"""A client that is to be killed: it goes as far as it is told, says so, and waits for its end.

    doomed.py SOCKET connected | half | asked | waiting | flooded

connected: nothing is sent or read; half: half a request; asked: a request; waiting: the daemon has begun with it; flooded: so
much is asked for that the daemon is in the middle of writing it.
"""

import signal
import socket
import sys

path, point = sys.argv[1:]
connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
connection.connect(path)
if point == "half":
    connection.sendall(b'{"id":"h","type":"sta')
elif point == "asked":
    connection.sendall(b'{"id":"a","type":"load","wait":true}\n')
elif point == "waiting":
    connection.sendall(b'{"id":"a","type":"load","wait":true}\n{"id":"p","type":"ping"}\n')
    told = b""
    while b'"protocol"' not in told:
        told += connection.recv(1 << 16)
elif point == "flooded":
    connection.setblocking(False)
    try:
        while True:
            connection.send(b'{"id":"f","type":"subscribe","since":0}\n{"id":"g","type":"status"}\n' * 100)
    except BlockingIOError:
        pass  # neither side takes more
print("here", flush=True)
signal.pause()
