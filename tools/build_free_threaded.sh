#!/bin/sh
# Builds a free-threaded CPython from Debian's source package. No package carries one, and the driver declares
# itself safe without the GIL only because its tests run on such a build.
#
#     tools/build_free_threaded.sh PREFIX [SUITE [VERSION]]
#
# PREFIX   where the interpreter goes: PREFIX/bin/python3. Nothing is done when one stands there already.
# SUITE    the Debian release whose sources are taken, `trixie` unless told.
# VERSION  3.14, say; unless told the release's default, which is 3.13 for trixie.
#
# Called by tools/check_interpreters.py --free-threaded. Needs apt, a C compiler, and the headers of OpenSSL, libffi
# and zlib; needs no root. About 11 minutes on two cores. MAKE_JOBS says how many compilers run at once, two
# unless told.
set -eu

prefix=${1:?"usage: tools/build_free_threaded.sh PREFIX [SUITE [VERSION]]"}
suite=${2:-trixie}
version=${3:-}

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$prefix"
prefix=$(cd "$prefix" && pwd)
if [ -x "$prefix/bin/python3" ]; then
    exec "$prefix/bin/python3" -VV
fi

for program in apt-get cc make pkg-config tar; do
    command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 1; }
done
for library in openssl libffi zlib; do
    pkg-config --exists "$library" || { echo "the headers of $library are missing" >&2; exit 1; }
done

work=$(mktemp -d "${TMPDIR:-/tmp}/free-threaded.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
. "$here/private_apt.sh"
private_apt_setup "$work" "$suite" deb-src

if [ -z "$version" ]; then
    version=$(private apt-cache showsrc --only-source python3-defaults |
        sed -n 's/^Version: \([0-9]*\.[0-9]*\)\..*/\1/p' | sort -V | tail -n 1)
fi
mkdir -p "$work/source/build"
cd "$work/source"
private apt-get source --download-only "python$version" >/dev/null
tar -xf "python${version}_"*.orig.tar.?z --strip-components=1 -C build
cd build

echo "configuring CPython $version without the GIL; the log is $prefix/build.log"
{
    ./configure --prefix="$prefix" --disable-gil --with-ensurepip=install --disable-test-modules
    make -j"${MAKE_JOBS:-2}"
    make install
} >"$prefix/build.log" 2>&1 || { tail -n 30 "$prefix/build.log" >&2; exit 1; }

"$prefix/bin/python3" -c 'import ctypes, ssl, sys, zlib; assert not sys._is_gil_enabled()'
"$prefix/bin/python3" -VV
