# shellcheck shell=bash
# Shared by every script here: where things are, and how to say what went wrong.
# Sourced, never run.  Sets ROOT (the source tree) and CACHE (downloaded guests
# and the images made of them: $RINGER_CACHE, or the user's cache directory).

ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

if [ -n "${RINGER_CACHE:-}" ]; then
	CACHE=$RINGER_CACHE
elif [ -n "${XDG_CACHE_HOME:-}${HOME:-}" ]; then
	CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/ringer
else
	CACHE=$ROOT/.cache/ringer
fi

# Progress goes to stderr: stdout carries results (paths, test lines).
say() { printf '%s: %s\n' "${0##*/}" "$*" >&2; }
die() { say "$@"; exit 1; }

# The first line of a script's header comment block, as its help text.
usage_from_header() { sed -n '2,/^[^#]/{/^#/!d;s/^# \{0,1\}//;p}' "$1"; }
