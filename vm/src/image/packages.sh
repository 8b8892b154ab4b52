# Run by packages.rs, as root or as a user namespace's root. Lines that begin with "I: " are steps.
set -eu
tree=$BUILT/tree
case $SUITE in
jammy) kernel=linux-image-virtual ;;
*) kernel=linux-image-cloud-amd64 ;;
esac
# The machine needs no manuals, and no RAM disk for other hardware. An unfinished tree is thrown away, so dpkg need not wait
# for the disk.
set -- --variant=important --components=main --include="$INCLUDE,$kernel,initramfs-tools,systemd-sysv,udev" \
    --dpkgopt='path-exclude=/usr/share/man/*' --dpkgopt='path-exclude=/usr/share/locale/*' \
    --dpkgopt='path-exclude=/usr/share/doc/*' --dpkgopt=force-unsafe-io \
    --essential-hook='mkdir -p "$1/etc/initramfs-tools/conf.d"' \
    --essential-hook='echo MODULES=list >"$1/etc/initramfs-tools/conf.d/vm"' \
    --essential-hook='printf "%s\n" virtio_pci virtio_blk ext4 >"$1/etc/initramfs-tools/modules"'
if [ -n "$SOURCES" ]; then
    printf '%s\n' "$SOURCES" | "$MMDEBSTRAP" "$@" "$SUITE" "$tree" -
else
    "$MMDEBSTRAP" "$@" "$SUITE" "$tree"
fi
# The host's sources may contain a name and a password. No guest may read these.
find "$tree/etc/apt" -name '*.list' -exec sed -i 's#://[^/@ ]*@#://#g' {} +
rm -rf "$tree"/etc/apt/auth.conf "$tree"/etc/apt/auth.conf.d/*
echo "I: making the disk" >&2
rm -rf "$tree"/dev "$tree"/run
mkdir "$tree"/dev "$tree"/run
echo 'LABEL=vmroot / ext4 rw,discard 0 1' >"$tree/etc/fstab"
cp "$tree"/boot/vmlinuz-* "$BUILT/vmlinuz"
cp "$tree"/boot/initrd.img-* "$BUILT/initrd"
truncate -s "$SIZE" "$RAW"
"$MKFS" -q -F -m 0 -L vmroot -E root_owner=0:0 -d "$tree" "$RAW"
rm -rf "$tree"
