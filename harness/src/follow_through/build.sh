#!/bin/bash
# build <image> [conductorfile]: an image of the base system that FROM names and nothing else, in the folders that
# setup.sh names; recorded in a file `layers`, or copied where the conductor knows of no such file.
set -o errexit -o nounset
umask 077

here=$(dirname "$(readlink -f "$0")")
# shellcheck disable=SC1091
source "$here/setup.sh"

image=$1
conductorfile=${2:-Conductorfile}
system=$(sed -n 's/^[[:space:]]*FROM[[:space:]]\{1,\}\([^[:space:]]*\).*/\1/p' "$conductorfile" | head -n 1)
base=$CACHEDIR/base/${system/:/-}
if [ ! -d "$base" ]; then
    mkdir -p "$base.new"
    chmod 755 "$base.new"
    (umask 022; debootstrap "${system#*:}" "$base.new")
    mv "$base.new" "$base"
fi

mkdir -p "$IMAGEDIR/$image"
if grep -qw layers "$here/conductor-as-submitted.sh"; then
    echo "$base" > "$IMAGEDIR/$image/layers"
else
    cp -a "$base" "$IMAGEDIR/$image/rootfs"
fi
