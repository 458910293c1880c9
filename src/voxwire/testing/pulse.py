"""Sound devices where there are none: a private PulseAudio with loudspeakers that play into nothing.

For tests of programs that use `Microphone` and `Speaker`, on machines without a sound card (Linux;
Debian packages pulseaudio, pulseaudio-utils, libasound2-plugins and libportaudio2).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from ..errors import ConfigError, UserError

__all__ = ["PrivatePulse"]

START_TIMEOUT: Final = 10.0
RATE: Final = 48_000
"""Of the devices, Hz; they are mono."""

# Without `norewinds` a null sink works with two seconds of latency. The sample rate converter is a
# cheap one, for the tests' sake.
_DEVICES: Final = """\
load-module module-native-protocol-unix socket={folder}/native auth-anonymous=1
load-module module-null-sink norewinds=1 sink_name=spk rate={rate} channels=1
load-module module-null-sink norewinds=1 sink_name=micfeed rate={rate} channels=1
load-module module-remap-source source_name=mic master=micfeed.monitor
set-default-sink spk
set-default-source mic
"""
_ONE: Final = 'pcm.{name} {{ type pulse server "unix:{socket}" device {device} hint.description "{name}" }}\n'
_DEFAULT: Final = """\
pcm.!default {{ type pulse server "unix:{socket}" }}
ctl.!default {{ type pulse server "unix:{socket}" }}
"""


class PrivatePulse:
    """A PulseAudio daemon of one's own, without hardware, for the length of a `with` block.

    It has a loudspeaker `spk`, a microphone `mic`, and `micfeed`: what is played there is heard by
    the microphone. `spk.monitor` records what the loudspeaker plays. PortAudio reads the environment when it is
    started, so the program under test is a process of its own, with `environ`.

    Args:
        others: daemons that run already; each adds its devices as `NAME-spk` and `NAME-mic`.
        name: of this one, for `others`.

    Attributes:
        environ: what a program needs to find these devices and no others.

    Raises:
        UserError: from `with`, if PulseAudio is not installed or does not start.
        ConfigError: if the name has anything but letters and digits in it.
    """

    def __init__(self, *others: PrivatePulse, name: str = "main") -> None:
        if not name.isalnum():
            raise ConfigError(f"name is {name!r}; it must be letters and digits")
        self.name = name
        self.environ: dict[str, str] = {}
        self._others = others
        self._folder = Path()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def socket(self) -> Path:
        """Where the daemon listens."""
        return self._folder / "native"

    def __enter__(self) -> Self:
        program = shutil.which("pulseaudio")
        if program is None or shutil.which("pactl") is None:
            raise UserError("pulseaudio and pactl are not installed: apt install pulseaudio pulseaudio-utils")
        self._folder = Path(tempfile.mkdtemp(prefix="voxwire-pulse-"))
        try:
            self._write_settings()
            self._start(program)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the daemon: its devices are gone. Idempotent."""
        process, self._process = self._process, None
        if process is not None:
            process.terminate()
            try:
                process.wait(5)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if self._folder != Path():
            shutil.rmtree(self._folder, ignore_errors=True)

    def control(self, *arguments: str) -> str:
        """Run `pactl` with these arguments; what it printed.

        Raises:
            UserError: it failed, or did not end.
        """
        try:
            done = subprocess.run(  # noqa: S603
                ["pactl", *arguments],  # noqa: S607
                env=self.environ,
                capture_output=True,
                text=True,
                check=False,
                timeout=START_TIMEOUT,
            )
        except subprocess.TimeoutExpired:
            raise UserError(f"pactl {' '.join(arguments)} did not end within {START_TIMEOUT:g} s") from None
        if done.returncode:
            raise UserError(f"pactl {' '.join(arguments)} failed: {done.stderr.strip()}")
        return done.stdout.strip()

    def unload(self, what: str) -> None:
        """Unload the module whose arguments contain `what` ("sink_name=spk"): pull the plug of a device.

        Raises:
            UserError: there is none.
        """
        for line in self.control("list", "short", "modules").splitlines():
            number, _, rest = line.partition("\t")
            if what in rest:
                self.control("unload-module", number)
                return
        raise UserError(f"no module of this PulseAudio has {what!r} in its arguments")

    def echo(self, *, latency_ms: int = 60) -> None:
        """Let the microphone hear the loudspeaker, `latency_ms` later."""
        route = ("source=spk.monitor", "sink=micfeed", f"latency_msec={latency_ms}")
        self.control("load-module", "module-loopback", *route)

    def player(self, sink: str = "micfeed", *, rate: int = RATE) -> subprocess.Popen[bytes]:
        """A process that plays what is written to its stdin (mono s16le) on `sink`."""
        command = ["pacat", "--playback", f"--device={sink}", *_raw(rate)]
        return subprocess.Popen(command, env=self.environ, stdin=subprocess.PIPE)  # noqa: S603

    def recorder(self, source: str = "spk.monitor", *, rate: int = RATE) -> subprocess.Popen[bytes]:
        """A process that writes what it hears on `source` to its stdout (mono s16le)."""
        command = ["pacat", "--record", f"--device={source}", *_raw(rate)]
        return subprocess.Popen(command, env=self.environ, stdout=subprocess.PIPE)  # noqa: S603

    def _write_settings(self) -> None:
        for name in ("home", "run"):
            (self._folder / name).mkdir(mode=0o700)
        script = _DEVICES.format(folder=self._folder, rate=RATE)
        (self._folder / "default.pa").write_text(script, encoding="utf-8")
        devices = _DEFAULT.format(socket=self.socket)
        for device in ("spk", "mic"):
            devices += _ONE.format(name=device, socket=self.socket, device=device)
            for other in self._others:
                name = f"{other.name}-{device}"
                devices += _ONE.format(name=name, socket=other.socket, device=device)
        (self._folder / "asound.conf").write_text(devices, encoding="utf-8")
        self.environ = {
            **os.environ,
            "HOME": str(self._folder / "home"),
            "XDG_RUNTIME_DIR": str(self._folder / "run"),
            "PULSE_SERVER": f"unix:{self.socket}",
            "ALSA_CONFIG_PATH": f"/usr/share/alsa/alsa.conf:{self._folder}/asound.conf",
        }

    def _start(self, program: str) -> None:
        log = self._folder / "log"
        # A test that crashes leaves it behind: it ends by itself, five minutes after its last client.
        options = ("--daemonize=no", "--exit-idle-time=300", "--disable-shm=yes", "--use-pid-file=no")
        command = [program, "-n", "-F", str(self._folder / "default.pa"), *options]
        with log.open("wb") as output:
            self._process = subprocess.Popen(  # noqa: S603
                command, env=self.environ, stdin=subprocess.DEVNULL, stdout=output, stderr=output
            )
        until = time.monotonic() + START_TIMEOUT
        while time.monotonic() < until and self._process.poll() is None:
            try:
                if "micfeed.monitor" in self.control("list", "short", "sources"):
                    return
            except UserError:
                pass
            time.sleep(0.02)
        raise UserError(f"PulseAudio did not start: {log.read_text(errors='replace')[-2000:]}")


def _raw(rate: int) -> Sequence[str]:
    return ("--raw", "--format=s16le", f"--rate={rate}", "--channels=1", "--latency-msec=20")
