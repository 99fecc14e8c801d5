"""Programs that are started for the comparison and surely stopped: their ports, CPU time and memory."""

import ctypes
import os
import signal
import socket
import subprocess
import tempfile
import time
import shutil

CORES = sorted(os.sched_getaffinity(0))
# One core for the program that is measured, the rest for everything that is not.
MEASURED, REST = {CORES[0]}, set(CORES[1:]) or {CORES[0]}


class House:
    """Everything that was started, and the folder that it writes to; leaving the block ends and removes it."""

    def __enter__(self):
        self.folder = tempfile.mkdtemp(prefix="vestibule-bench-")
        os.chmod(self.folder, 0o755)
        self.programs = []
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: (_ for _ in ()).throw(KeyboardInterrupt()))
        return self

    def __exit__(self, *_):
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        for program in reversed(self.programs):
            program.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
        return self.path(name)

    def start(self, name, args, port=None, cores=None, **options):
        program = Program(name, args, self.path(f"{name}.out"), cores, **options)
        self.programs.append(program)
        if port:
            program.wait_for(port)
        return program


class Program:
    """A running program with its children, in a process group of its own."""

    def __init__(self, name, args, output, cores, **options):
        self.name, self.output = name, output
        parent = os.getpid()

        def prepare():
            # Ends with us, also when we are killed and can clean up nothing.
            ctypes.CDLL(None).prctl(1, signal.SIGTERM)
            if os.getppid() != parent:
                os._exit(1)
            os.sched_setaffinity(0, cores or CORES)

        with open(output, "ab") as out:
            options.setdefault("stdout", out)
            self.process = subprocess.Popen(args, stderr=out, stdin=options.pop("stdin", subprocess.DEVNULL), start_new_session=True, preexec_fn=prepare, **options)

    def wait_for(self, port, within=20):
        end = time.monotonic() + within
        while not accepts(port):
            if self.process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"{self.name} does not serve:\n{self.said()}")
            time.sleep(0.001)

    def said(self):
        with open(self.output, encoding="utf-8", errors="replace") as file:
            return file.read()[-3000:]

    def stop(self):
        for number, patience in ((signal.SIGTERM, 5), (signal.SIGKILL, 5)):
            if self.process.poll() is None or self.tree():
                try:
                    os.killpg(self.process.pid, number)
                except ProcessLookupError:
                    return
                try:
                    self.process.wait(patience)
                except subprocess.TimeoutExpired:
                    continue
        # Nothing of the group may be left.

    def tree(self):
        """The ids of the processes of its group."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit():
                fields = stat(entry)
                if fields and int(fields[2]) == self.process.pid:
                    found.append(int(entry))
        return found

    def cpu(self):
        """Seconds of CPU that all its threads have used, to the nanosecond."""
        total = 0
        for pid in self.tree():
            try:
                for thread in os.listdir(f"/proc/{pid}/task"):
                    with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                        total += int(file.read().split()[0])
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total / 1e9

    def memory(self):
        """Resident bytes; what processes share is counted once for each, as `ps` does."""
        total = 0
        for pid in self.tree():
            try:
                with open(f"/proc/{pid}/statm", encoding="ascii") as file:
                    total += int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
            except (FileNotFoundError, ProcessLookupError):
                continue
        return total


def stat(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as file:
            return file.read().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def accepts(port):
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
