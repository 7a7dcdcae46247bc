# A state of apt's own in a folder, so that the machine's package lists and packages stay as they are. Sourced by
# tools/build_free_threaded.sh and tools/unpack_interpreter.sh; the archive is the one this machine's apt uses.
#
#     private_apt_setup FOLDER SUITE deb|deb-src [ARCHITECTURE]   then   private apt-get …, private apt-cache …
#
# ARCHITECTURE is Debian's word for a machine, arm64 say: this machine's unless told.

private_apt_setup() {
    _apt=$1/apt
    _architecture=${4:-$(dpkg --print-architecture)}
    # Of this machine's archives, the first that is Debian's own and no update or security archive.
    _archive=$(apt-get indextargets --format '$(ORIGIN) $(LABEL) $(REPO_URI)' 'Created-By: Packages' |
        awk '$1 == "Debian" && $2 == "Debian" { print $3; exit }')
    [ -n "$_archive" ] || { echo "apt here knows no archive of Debian's own: run apt-get update first" >&2; exit 1; }
    mkdir -p "$_apt/parts" "$_apt/lists/partial" "$_apt/cache/archives/partial"
    : >"$_apt/status"
    cat >"$_apt/parts/archive.sources" <<SOURCES
Types: $3
URIs: $_archive
Suites: $2
Components: main
Architectures: $_architecture
Signed-By: /usr/share/keyrings/debian-archive-keyring.gpg
SOURCES
    private apt-get update
}

private() {
    _program=$1
    shift
    "$_program" -qq -o Dir::Etc::sourcelist=/dev/null -o Dir::Etc::sourceparts="$_apt/parts" \
        -o Dir::State::lists="$_apt/lists" -o Dir::State::status="$_apt/status" -o Dir::Cache="$_apt/cache" \
        -o APT::Architecture="$_architecture" -o APT::Architectures="$_architecture" \
        -o APT::Sandbox::User="$(id -un)" "$@"
}
