"""Becomes a program in the way in which a service manager starts it: activate.py DESCRIPTORS PROGRAM [ARGUMENT...]
makes the descriptors (numbers with commas) those from 3 on, and says that they are meant for this process."""

import os
import sys

FIRST = 3


def main():
    descriptors, program = [int(number) for number in sys.argv[1].split(",")], sys.argv[2:]
    spare = [os.dup(descriptor) for descriptor in descriptors]  # copies, so that none is overwritten before its turn
    while any(descriptor < FIRST + len(descriptors) for descriptor in spare):
        spare = [os.dup(descriptor) for descriptor in spare]
    for descriptor in descriptors:
        os.set_inheritable(descriptor, False)
    for index, descriptor in enumerate(spare):
        os.dup2(descriptor, FIRST + index)
    os.environ["LISTEN_PID"] = str(os.getpid())
    os.execv(program[0], program)


if __name__ == "__main__":
    main()
