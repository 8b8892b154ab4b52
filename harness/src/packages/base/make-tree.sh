# Makes a tree with the real debootstrap and writes it to standard output as a tar file. What it says goes to
# descriptor 3; its last line, where it fails, is "failed: PROGRAM (STATUS)".
# From the environment: WORK (an empty folder), ARCH, SUITE, MIRROR, COMPONENTS, VARIANT, KEYRING (base64), http_proxy.
set -u
failed() {
    echo "failed: $1 (status $2)" >&3
    exit 1
}
mkdir -m 755 "$WORK/tree" "$WORK/bin" || failed mkdir $?
# The package cache speaks plain HTTP: what debootstrap asks for by https is fetched by http.
cat >"$WORK/bin/wget" <<'END'
#!/bin/sh
for word; do
    shift
    case $word in https://*) word=http://${word#https://} ;; esac
    set -- "$@" "$word"
done
exec /usr/bin/wget "$@"
END
chmod 755 "$WORK/bin/wget"
set -- --arch "$ARCH" --components "$COMPONENTS"
[ -z "$VARIANT" ] || set -- "$@" --variant "$VARIANT"
if [ -n "$KEYRING" ]; then
    echo "$KEYRING" | base64 -d >"$WORK/keyring.gpg"
    set -- "$@" --keyring "$WORK/keyring.gpg"
fi
PATH=$WORK/bin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /usr/sbin/debootstrap "$@" "$SUITE" "$WORK/tree" "$MIRROR" \
    >&3 2>&3 </dev/null || failed debootstrap $?
tar --create --directory "$WORK/tree" --format=posix --pax-option=delete=atime,delete=ctime,delete=mtime --sort=name \
    --numeric-owner --xattrs --xattrs-include='*' --exclude=./etc/resolv.conf --exclude=./etc/hostname . 2>&3 ||
    failed tar $?
