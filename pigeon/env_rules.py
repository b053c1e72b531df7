"""What becomes of each variable of the client's environment on the worker's host: the rule, as a table.

A value that names something of one host names nothing, or something else, on the other. On a cluster `/tmp/x` of the
node and `/tmp/x` of the worker are two directories, and whoever makes the second decides what runs from it. So:

1. What makes sense only on the client's host stays there: `[client] env_exclude`, by name (`settings.py`), and a value
   that is a socket of that host (`commandline.py`).
2. What names files is looked at on the worker's host, by `TABLE`. An entry of a list of directories goes if it is not
   there, relative, or in a place that others can write; a single file or directory likewise. What has gone leaves the
   worker's own value, if it has one. In lists that only one language reads (PYTHONPATH, …), a relative entry is judged
   from the command's directory, which both hosts have.
3. Everything else goes along as it is, and so does whatever is meant for the worker: `[remote_env]`, or what a program
   that drives pigeon says of its own accord.

"A place that others can write" is `trust.py`'s, but for filesystems that many hosts share: there both hosts mean the
same directory, and the client has trusted it already. No value that the worker has itself is looked at.

`pigeon config show --env` prints what the rule comes to, `-v` tells what gave way for a command.
"""

from __future__ import annotations

import os
import stat

from pigeon import mountinfo, trust
from pigeon.wire.text import from_here, to_here

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

PROGRAMS = "directories in which programs are looked for"
LOADER = "directories in which libraries are looked for"
CODE = "directories from which code or data is loaded"
LIBRARIES = "libraries that are loaded into each program"
HOME = "the home directory"
TEMPORARY = "a directory for temporary files"
DIRECTORY = "a directory"
PLACE = "a directory that is made when it is needed"
FILE = "a file"
TICKET = "a ticket"
PROGRAM = "a program"
LOCALE = "a locale"

TABLE: dict[str, str] = {
    **dict.fromkeys(("PATH",), PROGRAMS),
    **dict.fromkeys(("LD_PRELOAD", "LD_AUDIT"), LIBRARIES),
    **dict.fromkeys(("LD_LIBRARY_PATH", "LD_RUN_PATH", "LIBRARY_PATH", "GCONV_PATH"), LOADER),
    **dict.fromkeys(
        "PYTHONPATH PERL5LIB PERLLIB RUBYLIB GEM_PATH NODE_PATH"
        " CLASSPATH GUILE_LOAD_PATH GUILE_LOAD_COMPILED_PATH JULIA_LOAD_PATH R_LIBS R_LIBS_USER R_LIBS_SITE OCAMLPATH"
        " TEXINPUTS FPATH MODULEPATH XDG_DATA_DIRS XDG_CONFIG_DIRS TERMINFO_DIRS CPATH C_INCLUDE_PATH"
        " CPLUS_INCLUDE_PATH PKG_CONFIG_PATH PKG_CONFIG_LIBDIR CMAKE_PREFIX_PATH CMAKE_MODULE_PATH ACLOCAL_PATH"
        " GST_PLUGIN_PATH QT_PLUGIN_PATH GI_TYPELIB_PATH MANPATH INFOPATH".split(),
        CODE,
    ),
    "HOME": HOME,
    **dict.fromkeys(("TMPDIR", "TMP", "TEMP", "TEMPDIR", "TMUX_TMPDIR", "SCREENDIR"), TEMPORARY),
    **dict.fromkeys(
        "JAVA_HOME CUDA_HOME CUDA_PATH CUDA_ROOT ROCM_PATH MKLROOT CONDA_PREFIX VIRTUAL_ENV PYTHONHOME PYENV_ROOT"
        " RBENV_ROOT NVM_DIR GOROOT ANDROID_HOME TERMINFO LOCPATH NLSPATH GIT_EXEC_PATH GIT_TEMPLATE_DIR SSL_CERT_DIR"
        " ZDOTDIR MODULESHOME LMOD_PKG".split(),
        DIRECTORY,
    ),
    **dict.fromkeys(
        "XDG_CONFIG_HOME XDG_DATA_HOME XDG_STATE_HOME XDG_CACHE_HOME GNUPGHOME CURL_HOME CARGO_HOME RUSTUP_HOME GOPATH"
        " GOCACHE GOMODCACHE PYTHONUSERBASE PYTHONPYCACHEPREFIX IPYTHONDIR JUPYTER_CONFIG_DIR MPLCONFIGDIR"
        " PIP_CACHE_DIR UV_CACHE_DIR NPM_CONFIG_PREFIX NPM_CONFIG_CACHE DOCKER_CONFIG CODEX_HOME CLAUDE_CONFIG_DIR"
        " CCACHE_DIR SINGULARITY_CACHEDIR APPTAINER_CACHEDIR SINGULARITY_TMPDIR APPTAINER_TMPDIR".split(),
        PLACE,
    ),
    **dict.fromkeys(
        "BASH_ENV ENV PYTHONSTARTUP INPUTRC WGETRC CURLRC NETRC PSQLRC LESSKEYIN GIT_CONFIG GIT_CONFIG_GLOBAL"
        " GIT_CONFIG_SYSTEM NPM_CONFIG_USERCONFIG PIP_CONFIG_FILE SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE"
        " NODE_EXTRA_CA_CERTS GIT_SSL_CAINFO AWS_CA_BUNDLE PIP_CERT CARGO_HTTP_CAINFO OPENSSL_CONF KRB5_CONFIG"
        " KRB5_KTNAME R_PROFILE R_PROFILE_USER R_ENVIRON R_ENVIRON_USER".split(),
        FILE,
    ),
    "KRB5CCNAME": TICKET,
    **dict.fromkeys(
        "SHELL EDITOR VISUAL GIT_EDITOR GIT_SEQUENCE_EDITOR SVN_EDITOR HGEDITOR FCEDIT SUDO_EDITOR PAGER GIT_PAGER"
        " MANPAGER BROWSER CC CXX LD FC LESSOPEN LESSCLOSE GIT_SSH GIT_EXTERNAL_DIFF".split(),
        PROGRAM,
    ),
    **dict.fromkeys(
        "LANG LC_ALL LC_ADDRESS LC_COLLATE LC_CTYPE LC_IDENTIFICATION LC_MEASUREMENT LC_MESSAGES LC_MONETARY LC_NAME"
        " LC_NUMERIC LC_PAPER LC_TELEPHONE LC_TIME".split(),
        LOCALE,
    ),
}
"""Variable -> what its value names. Whatever is not here goes along unseen."""

FALLBACK_LOCALE = "C.UTF-8"

_LISTS = (PROGRAMS, LOADER, CODE, LIBRARIES)
NOT_THERE = "is not there"
_RELATIVE = "is relative"


def settle(
    env: dict[str, str], sent: Mapping[str, str], own: Mapping[str, str], meant: Collection[str], cwd: str
) -> list[str]:
    """Put what gives way in `env` to the worker's own, or out. Returns what to tell of it, a line each.

    `sent`: the variables of the client, as they are in `env` by now. `own`: the worker's environment. `meant`: names
    whose values are for this host. `cwd`: where the command will run. All are texts as they travel (`wire/text.py`).
    """
    told = []
    for name, value in sent.items():
        kind = TABLE.get(name)
        if kind is None or name in meant or not value or value == own.get(name):
            continue
        kept, why = _JUDGES[kind](_Value(name, to_here(value), to_here(cwd)))
        if not why:
            continue
        kept = from_here(kept) if kept else _instead(name, kind, own)
        if kept:
            env[name] = kept
        else:
            env.pop(name, None)
        now = f"`{kept}` here" if kept else "not set here"
        told.append(f"{name}: {why}" + ("" if kind in _LISTS and kept else f"; it is {now}"))
    return told


def _instead(name: str, kind: str, own: Mapping[str, str]) -> str:
    """What the worker's host has for a value that has gone altogether; "" for nothing."""
    if own.get(name):
        return own[name]
    if kind == HOME:
        return from_here(os.path.expanduser("~"))
    if kind == LOCALE and name in ("LC_ALL", "LANG", "LC_CTYPE"):
        return FALLBACK_LOCALE if has_locale(FALLBACK_LOCALE) else "C"
    return os.defpath if kind == PROGRAMS else ""


# What speaks against a path on this host, as words that follow it; "" if nothing does


def fault_of(path: str, *, directory: bool | None = None) -> str:
    """Against what lies at an absolute path: that it is not there, or that others could have put it there.

    `directory`: it must be one, or must not be; None where either will do.
    """
    try:
        found = os.stat(path)
    except OSError:
        return NOT_THERE
    except ValueError:
        return "is no path"
    if directory is not None and stat.S_ISDIR(found.st_mode) is not directory:
        return NOT_THERE
    if stat.S_ISDIR(found.st_mode):
        return _way_fault(path)
    if stat.S_ISREG(found.st_mode):
        fault = trust.file_fault(path, found)
        if fault is not None and not _is_shared(os.path.realpath(path)):
            return fault.reason
    return _way_fault(os.path.dirname(path) or "/")


def _way_fault(directory: str) -> str:
    try:
        real, fault = trust.walk(directory)
    except OSError:
        return NOT_THERE
    if fault is None or (_is_shared(fault.path) and _is_shared(real)):
        return ""
    if fault.path == directory:
        return fault.reason
    return f"lies in a place that others can write: {fault}"


def _is_shared(path: str) -> bool:
    return mountinfo.is_network(mountinfo.filesystem_of(path).fstype)


class _Value:
    """One variable, as a judge sees it."""

    __slots__ = ("name", "text", "cwd")

    def __init__(self, name: str, text: str, cwd: str) -> None:
        self.name = name
        self.text = text
        self.cwd = cwd


# Each returns (what is left of the value, why the rest has gone; "" if nothing has)


def _list(one: _Value) -> tuple[str, str]:
    kept, gone = [], []
    strict = TABLE[one.name] in (PROGRAMS, LOADER)
    for entry in one.text.split(":"):
        why = _entry_fault(entry, one.cwd, strict=strict)
        if why:
            gone.append(f"`{entry}` {why}")
        else:
            kept.append(entry)
    if gone and not any(kept):
        kept = []
    return ":".join(kept), "; ".join(gone)


def _entry_fault(entry: str, cwd: str, *, strict: bool) -> str:
    if not entry or entry == ".":
        return (
            _RELATIVE if strict else ""
        )  # the current directory, or the place that the program has by itself
    if not entry.startswith("/"):
        return _RELATIVE if strict else fault_of(os.path.join(cwd, entry))
    plain = entry.rstrip("/").removesuffix("/*") or "/"  # as Java and TeX write "and what is in it"
    return fault_of(plain, directory=True if strict else None)


def _libraries(one: _Value) -> tuple[str, str]:
    """Separated by spaces or colons; a name without a slash is looked for where the other host has its libraries."""
    kept, gone = [], []
    for entry in one.text.replace(":", " ").split():
        why = fault_of(entry, directory=False) if entry.startswith("/") else _RELATIVE
        if why:
            gone.append(f"`{entry}` {why}")
        else:
            kept.append(entry)
    return ":".join(kept), "; ".join(gone)


def _directory(one: _Value) -> tuple[str, str]:
    why = fault_of(one.text, directory=True) if one.text.startswith("/") else _RELATIVE
    return _whole(one.text, why)


def _place(one: _Value) -> tuple[str, str]:
    value = one.text
    why = fault_of(value, directory=True) if value.startswith("/") else _RELATIVE
    if why == NOT_THERE and not os.path.lexists(value):
        parent = os.path.dirname(value.rstrip("/"))
        why = fault_of(parent, directory=True) or ("" if os.access(parent, os.W_OK) else NOT_THERE)
    return _whole(value, why)


def _temporary(one: _Value) -> tuple[str, str]:
    """`/tmp` belongs to everybody, and is made for that; what is not sticky, or another's, is a trap."""
    value = one.text
    if not value.startswith("/"):
        return _whole(value, _RELATIVE)
    try:
        found = os.stat(value)
    except (OSError, ValueError):
        return _whole(value, NOT_THERE)
    if not stat.S_ISDIR(found.st_mode) or not os.access(value, os.W_OK | os.X_OK):
        return _whole(value, "cannot be written")
    if found.st_uid == trust.ROOT and found.st_mode & stat.S_ISVTX:
        return _whole(value, _way_fault(os.path.dirname(value.rstrip("/")) or "/"))
    return _whole(value, _way_fault(value))


def _file(one: _Value) -> tuple[str, str]:
    value = one.text
    if one.name == "ENV" and "/" not in value:
        return value, ""  # what many programs call the kind of their environment (`ENV=test`)
    path = value[1:] if one.name == "LESSOPEN" else value
    return _whole(value, fault_of(path, directory=False) if path.startswith("/") else _RELATIVE)


def _ticket(one: _Value) -> tuple[str, str]:
    value = one.text
    kind, colon, path = value.partition(":")
    if not colon:
        kind, path = "FILE", value
    if kind not in ("FILE", "DIR"):
        return value, ""
    return _whole(value, fault_of(path) if path.startswith("/") else _RELATIVE)


def _program(one: _Value) -> tuple[str, str]:
    """Of a command line the first word counts, if it is a path; a mere name is looked up over here anyway."""
    value = one.text
    first = value.lstrip("|-").split(" ", 1)[0]
    if not first.startswith("/"):
        return value, ""
    why = fault_of(first, directory=False)
    if not why and not os.access(first, os.X_OK):
        why = "cannot be executed"
    return _whole(value, why)


def _locale(one: _Value) -> tuple[str, str]:
    return (one.text, "") if has_locale(one.text) else ("", f"the locale `{one.text}` is not there")


def _whole(value: str, why: str) -> tuple[str, str]:
    return ("", f"`{value}` {why}") if why else (value, "")


_JUDGES: dict[str, Callable[[_Value], tuple[str, str]]] = {
    PROGRAMS: _list,
    LOADER: _list,
    CODE: _list,
    LIBRARIES: _libraries,
    HOME: _directory,
    TEMPORARY: _temporary,
    DIRECTORY: _directory,
    PLACE: _place,
    FILE: _file,
    TICKET: _ticket,
    PROGRAM: _program,
    LOCALE: _locale,
}


def has_locale(name: str) -> bool:
    """Whether this host knows a locale. Asks the C library, whose own locale stays as it is."""
    if name in ("C", "POSIX"):
        return True
    import locale

    before = locale.setlocale(locale.LC_CTYPE)
    try:
        locale.setlocale(locale.LC_CTYPE, name)
    except (locale.Error, ValueError):  # ValueError: a NUL, or what is no text
        return False
    locale.setlocale(locale.LC_CTYPE, before)
    return True
