# SPDX-License-Identifier: MIT
# shellcheck shell=bash
# Installs what is missing; sourced by quickstart and check, which say first what they need.
#
#   need COMMAND_OR_HEADER DEBIAN_PACKAGE BREW_PACKAGE    notes what is missing ("-": not there)
#   install_missing                                       installs all that was noted

missing_debian=()
missing_brew=()

# A name with a slash is a file (or a pattern), "pc:NAME" a pkg-config module, else a command.
is_there() {
    case "$1" in
    pc:*) command -v pkg-config >/dev/null && pkg-config --exists "${1#pc:}" ;;
    */*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null ;;
    esac
}

need() {
    is_there "$1" && return
    [ "$2" = - ] || missing_debian+=("$2")
    [ "$3" = - ] || missing_brew+=("$3")
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

install_debian() {
    [ "${#missing_debian[@]}" -eq 0 ] && return
    echo "installing ${missing_debian[*]}"
    if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null; then
        echo "not root and no sudo: ask for: apt-get install ${missing_debian[*]}" >&2
        return 1
    fi
    # In this run level Debian starts no service that comes with a package.
    export DEBIAN_FRONTEND=noninteractive RUNLEVEL=1
    { as_root apt-get update -q && as_root apt-get install -qy --no-install-recommends \
        "${missing_debian[@]}"; } >"$install_log" 2>&1 ||
        { tail -5 "$install_log" >&2; return 1; }
}

# Written for Homebrew without a Mac to try it on.
install_brew() {
    [ "${#missing_brew[@]}" -eq 0 ] && return
    echo "installing ${missing_brew[*]}"
    brew install "${missing_brew[@]}" >"$install_log" 2>&1 ||
        { tail -5 "$install_log" >&2; return 1; }
}

# Keg-only libraries of Homebrew are found by their own pkg-config folders.
use_brew_paths() {
    local formula
    for formula in openblas jansson xxhash pcre2 utf8proc mpich libomp cmocka; do
        PKG_CONFIG_PATH="$(brew --prefix)/opt/$formula/lib/pkgconfig:${PKG_CONFIG_PATH:-}"
    done
    LDFLAGS="-L$(brew --prefix)/opt/libomp/lib ${LDFLAGS:-}"
    CPPFLAGS="-I$(brew --prefix)/opt/libomp/include ${CPPFLAGS:-}"
    export PKG_CONFIG_PATH LDFLAGS CPPFLAGS
}

install_missing() {
    install_log=${TMPDIR:-/tmp}/ringmoe-install-$$.log
    if command -v apt-get >/dev/null; then
        install_debian || return 1
    elif command -v brew >/dev/null; then
        install_brew || return 1
        use_brew_paths
    elif [ "${#missing_debian[@]}" -gt 0 ]; then
        echo "neither apt-get nor brew here: install by hand what Debian calls" \
            "${missing_debian[*]}" >&2
        return 1
    fi
    rm -f "$install_log"
}

# What building takes, with Debian's and Homebrew's names.
need_to_build() {
    need cc gcc -
    need '/usr/include/stdio.h' libc6-dev -
    need meson meson meson
    need ninja ninja-build ninja
    need pkg-config pkg-config pkg-config
    need mpiexec mpich mpich
    need pc:mpich libmpich-dev -
    need pc:openblas libopenblas-openmp-dev openblas
    need pc:jansson libjansson-dev jansson
    need pc:libxxhash libxxhash-dev xxhash
    need pc:libpcre2-8 libpcre2-dev pcre2
    need pc:libutf8proc libutf8proc-dev utf8proc
    command -v brew >/dev/null && need "$(brew --prefix)/opt/libomp/lib" - libomp
    return 0
}
