"""Install the locked dependencies into `.venv`; nothing happens when that is done already.

With `--spark`, those of Spark into `.venv-spark`. Runs on the machine's own Python with nothing but
its standard library. Every file installed is checked against the hash in the lock, wherever it came
from.
"""

from __future__ import annotations

import argparse
import ast
import hashlib
import os
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
OLDEST_PYTHON = (3, 11)

# Settings of pip that uv knows under another name, with the text between several values.
UV_NAMES = {
    "index-url": ("UV_DEFAULT_INDEX", " "),
    "extra-index-url": ("UV_INDEX", " "),
    "find-links": ("UV_FIND_LINKS", ","),
    "trusted-host": ("UV_INSECURE_HOST", " "),
    "cert": ("SSL_CERT_FILE", " "),
    "client-cert": ("SSL_CLIENT_CERT", " "),
    "proxy": ("ALL_PROXY", " "),
    "timeout": ("UV_HTTP_TIMEOUT", " "),
    "default-timeout": ("UV_HTTP_TIMEOUT", " "),
}


class InstallError(Exception):
    """The dependencies cannot be installed; one sentence."""


@dataclass(frozen=True)
class Group:
    """Dependencies that are locked and installed together; names relative to the repository."""

    lock: str
    venv: str


MAIN = Group("requirements.lock", ".venv")
SPARK = Group("requirements-spark.lock", ".venv-spark")


def stamp_text(root: Path, group: Group = MAIN) -> str:
    """What an installation depends on: the lock, the interpreter and where the clone lies."""
    lock = hashlib.sha256((root / group.lock).read_bytes()).hexdigest()
    version = ".".join(map(str, sys.version_info[:3]))
    return f"{lock} {version} {root}\n"


def is_installed(root: Path, group: Group = MAIN) -> bool:
    """Whether `.venv` holds what the lock says, installed by this Python for this directory."""
    try:
        stamp = (root / group.venv / "installed").read_text(encoding="utf-8")
        return stamp == stamp_text(root, group)
    except (OSError, UnicodeDecodeError):
        return False


def locked(root: Path, package: str, group: Group = MAIN) -> str:
    """The lines of the lock that pin one package, hashes included.

    Raises:
        InstallError: the lock does not name it.
    """
    text = (root / group.lock).read_text(encoding="utf-8")
    found = re.search(rf"^{re.escape(package)}==(?:.*\\\n)*.*\n", text, re.MULTILINE)
    if found is None:
        raise InstallError(f"{group.lock} does not name {package}; run: make lock")
    return found.group()


def uv_settings(pip_settings: str) -> dict[str, str]:
    """Translate what `pip config list` prints into environment variables of uv.

    The environment wins over the section `install`, and that over `global`, as in pip.
    """
    merged: dict[str, str] = {}
    for section in ("global", "install", ":env:"):
        for name, value in re.findall(
            rf"^{section}\.([a-z-]+)=(['\"].*['\"])$", pip_settings, re.MULTILINE
        ):
            merged[name] = str(ast.literal_eval(value))
    # Hashes are checked, so that it does not matter which index a file comes from.
    settings = {"UV_INDEX_STRATEGY": "unsafe-best-match"}
    for name, (uv_name, separator) in UV_NAMES.items():
        if name in merged:
            settings[uv_name] = separator.join(merged[name].split())
    return settings


def _run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Run a command and return what it printed; raise CalledProcessError with it on failure."""
    return subprocess.run(
        command,
        check=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**os.environ, **(environment or {})},
    ).stdout


def _is_usable(venv: Path) -> bool:
    """Whether `venv` was made by this Python for its directory, whatever is installed in it."""
    show = "import sys; print(*sys.version_info[:3], sys.prefix)"
    expected = f"{' '.join(map(str, sys.version_info[:3]))} {venv}\n"
    try:
        activate = (venv / "bin" / "activate").read_text(encoding="utf-8")
        shown = _run([str(venv / "bin" / "python"), "-c", show])
    except (OSError, UnicodeDecodeError, subprocess.CalledProcessError):
        return False
    return shown == expected and str(venv) in activate


def _create(venv: Path) -> None:
    """Create the virtual environment, over one of another Python or directory if need be."""
    try:
        _run([sys.executable, "-m", "venv", "--clear", str(venv)])
    except subprocess.CalledProcessError as error:
        lines = [line for line in error.stdout.splitlines() if line.strip()]
        reason = lines[-1] if lines else "no reason given"
        raise InstallError(
            f"{sys.executable} cannot create a virtual environment ({reason}); install its venv "
            "package or name another Python with PYTHON=."
        ) from None


def install(root: Path, group: Group) -> None:
    """Create the group's environment and install the lock, with uv where it works, else with pip.

    Raises:
        InstallError: neither works, or the environment is that of another directory.
    """
    venv = root / group.venv
    if venv.is_symlink():  # venv would empty what the link leads to
        raise InstallError(
            f"{venv} is a link, and an environment belongs to one directory; remove the link and "
            "run this again."
        )
    python = str(venv / "bin" / "python")
    lock = str(root / group.lock)
    stamp = venv / "installed"
    if not _is_usable(venv):
        _create(venv)
    stamp.unlink(missing_ok=True)
    pip = [python, "-m", "pip", "--disable-pip-version-check"]
    only_uv = venv / "uv.lock"
    only_uv.write_text(locked(root, "uv", group), encoding="utf-8")
    try:
        _run([*pip, "install", "--require-hashes", "-r", str(only_uv)])
        settings = uv_settings(_run([*pip, "config", "list"]))
        chosen = {name: value for name, value in settings.items() if name not in os.environ}
        uv = [str(venv / "bin" / "uv"), "pip", "sync", "--require-hashes", "--python", python]
        # pip compiles what it installs. uv leaves it to the first import, which may not write here:
        # then each start of dbt would compile two thousand files anew.
        compiled = ["--compile-bytecode"] if sys.dont_write_bytecode else []
        _run([*uv, "--no-config", *compiled, lock], chosen)
    except (subprocess.CalledProcessError, OSError):
        print("uv cannot install here; pip does it, which takes longer.", flush=True)
        try:
            _run([*pip, "install", "--require-hashes", "-r", lock])
        except subprocess.CalledProcessError as error:
            print(error.stdout, file=sys.stderr)
            raise InstallError(
                "The dependencies could not be installed; pip's reason stands above."
            ) from None
    stamp.write_text(stamp_text(root, group), encoding="utf-8")


def main() -> int:
    """Install if need be; return the exit code: 0, or 1 with one sentence."""
    if sys.version_info < OLDEST_PYTHON:
        print("Python 3.11 or newer is needed; name one with PYTHON=.", file=sys.stderr)
        return 1
    parser = argparse.ArgumentParser(description="Install the locked dependencies into .venv.")
    parser.add_argument("--spark", action="store_true", help="those of Spark into .venv-spark")
    group = SPARK if parser.parse_args().spark else MAIN
    if is_installed(ROOT, group):
        return 0
    print(f"Installing the locked dependencies into {group.venv} ...", flush=True)
    started = time.monotonic()
    try:
        install(ROOT, group)
    except (InstallError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    print(f"Installed in {time.monotonic() - started:.0f} s.", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
