# shellcheck shell=bash
# Sourced by tools/test, tools/check and tools/demo: a fit Python, a virtual environment, the system's packages.
# Each caller sets `tool` to the name that stands before its messages. Nothing here is installed twice.

here=$(cd -P "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${here%/*}
export PATH="$PATH:/usr/local/sbin:/usr/sbin:/sbin"
# What a user has set for his own pigeon or his own Python must not reach what is made or tested here.
unset PYTHONPATH PYTHONHOME PYTHONDONTWRITEBYTECODE
for name in $(compgen -e PIGEON_); do
    case $name in PIGEON_VENV | PIGEON_TEST_*) ;; *) unset "$name" ;; esac
done

say() { printf '%s: %s\n' "${tool:?}" "$*" >&2; }

die() {
    say "$*"
    exit 1
}

# Runs the words given; if they fail, says which they were and ends with their exit code.
run() {
    local code=0
    "$@" || code=$?
    if [ "$code" -ne 0 ]; then
        say "failed with exit code $code: $(printf '%q ' "$@")"
        exit "$code"
    fi
}

# Prints the path of a Python that is new enough: $PYTHON, or the first found.
find_python() {
    local name
    for name in ${PYTHON:+"$PYTHON"} python3 python3.14 python3.13 python3.12 python3.11; do
        "$name" -c 'import sys; sys.version_info < (3, 11) and sys.exit(1); print(sys.executable)' 2>/dev/null &&
            return
    done
    die "no Python of version 3.11 or newer was found; install one, or name it in \$PYTHON"
}

# make_venv DIRECTORY: an empty virtual environment. Debian keeps what `venv` needs in a package of its own.
make_venv() {
    local python
    python=$(find_python) || exit
    rm -rf "$1"
    if ! "$python" -m venv "$1" >/dev/null 2>&1; then
        install_packages "$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')" ||
            die "\`$python -m venv\` does not work here; install your system's package for it (python3-venv)"
        run "$python" -m venv --clear "$1"
    fi
}

# has THING: a command, or a shared library where the name ends in a version.
has() {
    case $1 in
        *.so.*) ldconfig -p 2>/dev/null | grep -q -F "$1" ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

# install_packages NAME…: by apt-get, as root. Fails, and says so, where that is not possible.
install_packages() {
    if [ "$(id -u)" -ne 0 ] || ! has apt-get; then
        say "cannot install $* (that takes root and apt-get)"
        return 1
    fi
    say "installing $*"
    local log policy=/usr/sbin/policy-rc.d code=0
    log=$(mktemp)
    # The tests start what they need themselves: no sshd and no glusterd shall run because they are installed.
    if [ -e "$policy" ]; then policy=; else printf '#!/bin/sh\nexit 101\n' >"$policy" && chmod +x "$policy"; fi
    {
        export DEBIAN_FRONTEND=noninteractive
        apt_install "$@" || { apt-get update && apt_install "$@"; }
    } >"$log" 2>&1 </dev/null || code=$?
    [ -z "$policy" ] || rm -f "$policy"
    [ "$code" -eq 0 ] || { tail -n 15 "$log" >&2 && say "could not install $*"; }
    rm -f "$log"
    return "$code"
}

apt_install() { apt-get install -y --no-install-recommends "$@"; }
