# Makes the virtual environment that bin/safehold and bin/test run in. Sourced by them; set: root (the repository).
#
#   environment KIND     sets env to the folder of a complete environment with requirements/KIND.txt
#
# An environment lies in .venv/KIND-HASH, HASH that of its pins, so that new pins never change what a running process
# imports from. It is complete once it holds the file `complete`; what a killed run left without one is made again.
# Runs hold a shared lock on that file for as long as they live; environments of older pins go once nobody holds theirs.

say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }

# give_up MESSAGE: exit code 3 (could not finish); fail_hook may print the same for programs.
give_up() {
    say "$1"
    if command -v fail_hook >/dev/null 2>&1; then fail_hook "$1"; fi
    exit 3
}

environment() {
    pins=$root/requirements/$1.txt
    sum=$(sha256sum <"$pins") || give_up "$pins cannot be read"
    name=$1-$(printf %.12s "$sum")
    for base in "$root/.venv" "$(cache_base)"; do
        env=$base/$name
        if is_complete; then hold && return 0; fi
    done
    base=$root/.venv
    if ! mkdir -p "$base" 2>/dev/null || [ ! -w "$base" ]; then
        base=$(cache_base)
        mkdir -p "$base" 2>/dev/null || give_up "neither $root nor $base can be written to: nowhere to make .venv"
    fi
    env=$base/$name
    command -v flock >/dev/null 2>&1 || give_up "flock is missing: apt install util-linux"
    [ -w "$base" ] || give_up "$base cannot be written to"
    exec 8>"$base/lock"
    flock -n 8 || { say "waiting for another run that sets up $base"; flock 8; }
    is_complete || make "$1"
    hold || give_up "$env/complete cannot be read"
    drop_older "$1"
    exec 8>&-
}

# Where the repository's folder cannot be written to.
cache_base() {
    printf '%s/safehold/venv-%.12s' "${XDG_CACHE_HOME:-${HOME:-/nonexistent}/.cache}" "$(printf %s "$root" | sha256sum)"
}

is_complete() { [ -f "$env/complete" ] && [ -x "$env/bin/python" ]; }

# Descriptor 9 stays open through exec: the lock lives as long as the process.
hold() { [ -r "$env/complete" ] && exec 9<"$env/complete" && { flock -s -n 9 2>/dev/null || :; }; }

make() {
    find_python
    say "setting up $env (once)"
    rm -rf "$env" || give_up "$env is not complete and cannot be removed"
    # Children keep descriptor 8, and with it the lock: one that outlives a killed script still writes here.
    "$python" -m venv "$env" >&2 || give_up "$python could not make a virtual environment in $env"
    "$env/bin/python" -m pip install --quiet --no-input --disable-pip-version-check --require-hashes --no-deps \
        -r "$pins" >&2 || give_up "the packages of $pins could not be installed: is a package index within reach?"
    printf '%s\n' "$sum" >"$env/complete.new" && mv "$env/complete.new" "$env/complete" ||
        give_up "$env cannot be written to"
}

# The newest Python we know, by its real path: a link named python3 may point elsewhere after an upgrade.
find_python() {
    lacking=
    for candidate in python3.13 python3.12 python3.11 python3; do
        python=$("$candidate" -c 'import os, sys; sys.version_info >= (3, 11) and print(os.path.realpath(sys.executable))' \
            2>/dev/null) || continue
        [ -n "$python" ] || continue
        "$python" -c 'import venv, ensurepip' 2>/dev/null && return 0
        lacking="$lacking ${python##*/}"
    done
    [ -z "$lacking" ] || give_up "the venv module is missing (for$lacking): apt install python3-venv"
    give_up "Python 3.11 or later is needed: apt install python3 python3-venv"
}

drop_older() {
    for old in "$base/$1"-*; do
        [ "$old" = "$env" ] && continue
        [ -d "$old" ] || continue
        if [ -f "$old/complete" ]; then
            flock -x -n "$old/complete" rm -rf "$old" || :
        else
            rm -rf "$old"
        fi
    done
}
