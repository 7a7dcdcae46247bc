#!/bin/sh
# Builds a CPython for musl, by Zig and from Debian's source package: no package that can be had carries one, and the
# wheels for musl were never started without it.
#
#     tools/build_musl.sh PREFIX [SUITE [VERSION]]
#
# PREFIX   where it goes: PREFIX/bin/python3. Nothing is done when one stands there already.
# SUITE    the Debian release whose sources are taken, `trixie` unless told.
# VERSION  3.13, say, `3.13` unless told.
#
# Called by tools/check_foreign.py --musl. Needs apt, make and uv's environment (Zig); needs no root, and no musl on the
# machine: the loader, which is musl's C library as well, is unpacked from Debian's package, and the interpreter bound to
# it by absolute path, so that PREFIX cannot move. The driver needs ssl: OpenSSL is the one in psycopg's wheel for musl,
# with Debian's headers of the same series; the tests need ctypes, and Debian's static libffi asks of a C library only
# what musl has too. What needs other libraries is left out: zlib, so hypothesis, and sqlite3.
# About 8 minutes of a processor, and not optimized. MAKE_JOBS says how many compilers run at once, two unless told.
set -eu

prefix=${1:?"usage: tools/build_musl.sh PREFIX [SUITE [VERSION]]"}
suite=${2:-trixie}
version=${3:-3.13}

here=$(cd "$(dirname "$0")" && pwd)
mkdir -p "$prefix"
prefix=$(cd "$prefix" && pwd)
if [ -x "$prefix/bin/python3" ]; then
    exec "$prefix/bin/python3" -VV
fi

for program in apt-get dpkg-deb make tar uv; do
    command -v "$program" >/dev/null || { echo "$program is missing" >&2; exit 1; }
done
zig=$(uv run --no-sync --project "$here/.." python -c 'import pathlib, ziglang; print(pathlib.Path(ziglang.__file__).with_name("zig"))')

work=$(mktemp -d "${TMPDIR:-/tmp}/musl.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 1' INT TERM
. "$here/private_apt.sh"
mkdir -p "$work/source/build" "$work/packages"
private_apt_setup "$work/packages" "$suite" deb
cd "$work/packages"
private apt-get download musl libssl-dev libffi-dev >/dev/null
dpkg-deb --extract musl_*.deb "$prefix/musl"
loader=$(ls "$prefix"/musl/usr/lib/ld-musl-*.so.1)

dpkg-deb --extract libffi-dev_*.deb "$work/packages/libffi"
libffi="$work/packages/libffi/usr"
dpkg-deb --extract libssl-dev_*.deb "$work/packages/openssl"
uv pip install --quiet --no-deps --only-binary :all: --python-platform "$(uname -m)-unknown-linux-musl" \
    --python-version "$version" --target "$work/packages/psycopg" psycopg-binary
openssl="$prefix/openssl"
mkdir -p "$openssl/lib" "$openssl/include/openssl"
cp openssl/usr/include/openssl/*.h openssl/usr/include/*-linux-gnu/openssl/*.h "$openssl/include/openssl"
cp psycopg/psycopg_binary.libs/libssl-*.so.* psycopg/psycopg_binary.libs/libcrypto-*.so.* "$openssl/lib"
for library in ssl crypto; do
    ln -s "$(basename "$openssl/lib/lib$library"-*.so.*)" "$openssl/lib/lib$library.so"
done

private_apt_setup "$work" "$suite" deb-src
cd "$work/source"
private apt-get source --download-only "python$version" >/dev/null
tar -xf "python${version}_"*.orig.tar.?z --strip-components=1 -C build
cd build

# CPython's own time of build is in its banner, which Zig would refuse.
cat >"$work/cc" <<COMPILER
#!/bin/sh
exec "$zig" cc -target $(uname -m)-linux-musl -dynamic -Wno-date-time -Wl,-dynamic-linker,"$loader" "\$@"
COMPILER
chmod 755 "$work/cc"
echo "configuring CPython $version for musl; the log is $prefix/build.log"
{
    # CPython tells musl by a mark in its stdarg.h, which Zig's own stands before. This OpenSSL has no compression.
    CC="$work/cc" CPP="$work/cc -E -D__DEFINED_va_list" CPPFLAGS=-DOPENSSL_NO_COMP AR="$zig ar" RANLIB="$zig ranlib" \
        LIBFFI_CFLAGS="-I$(ls -d "$libffi"/include/*-linux-gnu)" LIBFFI_LIBS="$(ls "$libffi"/lib/*-linux-gnu/libffi_pic.a)" \
        PKG_CONFIG=false OPT="-O1 -DNDEBUG" ./configure --prefix="$prefix" --without-ensurepip --disable-test-modules \
        --with-openssl="$openssl" --with-openssl-rpath="$openssl/lib"
    make -j"${MAKE_JOBS:-2}"
    make install
} >"$prefix/build.log" 2>&1 || { tail -n 30 "$prefix/build.log" >&2; exit 1; }

"$prefix/bin/python3" -c 'import asyncio, ctypes, ssl, sysconfig; assert "-musl" in sysconfig.get_config_var("EXT_SUFFIX")'
"$prefix/bin/python3" -VV
