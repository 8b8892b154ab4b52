# Runs before packages.sh for an ordinary user without namespaces. Both run under fakechroot and fakeroot.
MMDEBSTRAP=fake_mmdebstrap

fake_mmdebstrap() {
    # systemd looks for its library in a folder of its own, which fakechroot does not know.
    own=lib/$(uname -m)-linux-gnu/systemd
    LD_LIBRARY_PATH=$tree/$own:$tree/usr/$own:$LD_LIBRARY_PATH mmdebstrap --mode=fakechroot "$@"
    # Under fakechroot an absolute link leads to where the tree lies now.
    find "$tree" -type l -lname "$tree/*" -printf '%p\n%l\n' | while read -r link && read -r target; do
        ln -sfn "${target#"$tree"}" "$link"
    done
}
