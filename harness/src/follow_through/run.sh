#!/bin/bash
# run <image> <container> [--] [command]: a container on an overlay of the image's layers, in the folders that
# setup.sh names. What the submission's own commands look for is left where conductors usually leave it: the root
# directory under the name that they use, and the first process's PID in a file.
set -o errexit -o nounset
umask 077

here=$(dirname "$(readlink -f "$0")")
own=$here/conductor-as-submitted.sh
# shellcheck disable=SC1091
source "$here/setup.sh"

image=$1 name=$2
shift 2
[ "${1-}" != -- ] || shift
[ $# -gt 0 ] || set -- /bin/bash

# The folder of a layer, whatever its path in the file is relative to.
folder_of() {
    local place
    for place in "$1" {"$IMAGEDIR/$image","$CACHEDIR","$CACHEDIR/base","$CACHEDIR/layers"}/"$1"; do
        if [ -d "$place/diff" ] && [ ! -d "$place/usr" ]; then
            place=$place/diff
        fi
        if [ -d "$place" ]; then
            readlink -f "$place"
            return
        fi
    done
    echo "there is no layer $1" >&2
    return 1
}

container=$CONTAINERDIR/$name
[ ! -e "$container" ] || { echo "container $name exists" >&2; exit 1; }
root=rootfs
for word in merged merge; do
    if grep -qw "$word" "$own"; then
        root=$word
        break
    fi
done
mkdir -p "$container"/{upper,work,"$root"}
chmod 755 "$container/upper" "$container/$root"

if [ -f "$IMAGEDIR/$image/layers" ]; then
    folders=()
    for layer in $(tr ':,' '  ' < "$IMAGEDIR/$image/layers"); do
        folders+=("$(folder_of "$layer")")
    done
else
    folders=("$IMAGEDIR/$image/rootfs")
fi
# The base system is the lowest one: overlayfs wants it last.
lower=${folders[0]}
for folder in "${folders[@]:1}"; do
    if [ -e "${folders[0]}/etc/debian_version" ]; then
        lower=$folder:$lower
    else
        lower=$lower:$folder
    fi
done
mount -t overlay overlay -o "lowerdir=$lower,upperdir=$container/upper,workdir=$container/work" "$container/$root"

# The PID as the machine sees it is in the machine's /proc, which is still there at first.
# shellcheck disable=SC2016
unshare --uts --pid --net --mount --ipc --fork --kill-child /bin/bash -c '
    set -e
    read -r pid _ < /proc/self/stat
    echo "$pid" > "$1/pid"
    mount -t proc proc "$2/proc"
    mount -t sysfs sysfs "$2/sys"
    mount --rbind /dev "$2/dev"
    root=$2
    shift 2
    umask 022
    exec chroot "$root" /usr/bin/env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root \
        TERM="${TERM-dumb}" "$@"
    ' bash "$container" "$container/$root" "$@"
