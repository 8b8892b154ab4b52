#!/bin/sh
# Runs once in a new image, as root, at the end of its first boot. Its last step hands out the kernel: if the host finds
# nothing on that disk, a step failed.
set -eu
seed=$(dirname "$0")

echo "provision: packages"
# One query for all packages: under emulation each start of a program takes long.
# shellcheck disable=SC2046 # one word each
missing=$(
    { dpkg-query -W -f '${Status} ${Package}\n' $(cat "$seed/packages") 2>/dev/null || :; } |
        sed -n 's/^.* ok installed //p' | grep -v -x -F -f - "$seed/packages"
) || :
if [ -n "$missing" ]; then
    export DEBIAN_FRONTEND=noninteractive
    # A network that is slow to come up is no reason to fail.
    for try in 1 2 3 4 5; do apt-get -q update && break; sleep 5; done
    # shellcheck disable=SC2086 # one word each
    apt-get -q -y --no-install-recommends install $missing
    apt-get clean
fi

echo "provision: quiet"
# As `systemctl mask` does it. A name that this suite does not have is no error.
for unit in apt-daily.timer apt-daily-upgrade.timer apt-daily.service apt-daily-upgrade.service man-db.timer \
    e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer logrotate.timer motd-news.timer \
    systemd-tmpfiles-clean.timer unattended-upgrades.service update-notifier-download.timer \
    systemd-timesyncd.service chrony.service systemd-networkd.service systemd-networkd.socket \
    systemd-networkd-wait-online.service systemd-resolved.service networking.service ssh.service ssh.socket \
    polkit.service ModemManager.service multipathd.service multipathd.socket snapd.service snapd.socket \
    snapd.seeded.service lxd-agent.service apparmor.service haveged.service qemu-guest-agent.service nftables.service \
    serial-getty@ttyS0.service getty@tty1.service systemd-pstore.service console-setup.service \
    keyboard-setup.service rsyslog.service cron.service systemd-update-utmp.service \
    systemd-update-utmp-runlevel.service ldconfig.service; do
    ln -sf /dev/null "/etc/systemd/system/$unit"
done
rm -rf /etc/netplan/*.yaml /etc/network/interfaces.d/* /run/network/interfaces.d/* /etc/resolv.conf
echo "nameserver 127.0.0.1" >/etc/resolv.conf
sed -i '/[[:space:]]\/boot\/efi[[:space:]]/d' /etc/fstab

echo "provision: cards"
mkdir -p /etc/systemd/network
# One a line: MAC address and name.
while read -r address name; do
    printf '[Match]\nMACAddress=%s\n\n[Link]\nName=%s\n' "$address" "$name" >"/etc/systemd/network/10-$name.link"
done <"$seed/cards"

echo "provision: agent"
install -m 644 "$seed/vm.slice" "$seed/vm-agent.service" /etc/systemd/system/
systemctl --no-reload enable vm-agent.service

echo "provision: leave"
touch /etc/cloud/cloud-init.disabled
rm -rf /var/log/cloud-init*.log /var/log/apt/* /var/lib/apt/lists/*
journalctl --rotate --vacuum-size=1 >/dev/null 2>&1 || :
echo "root=UUID=$(findmnt -n -o UUID /)" >/root/cmdline
uname -r >/root/release
cp "/boot/vmlinuz-$(uname -r)" /root/vmlinuz
cp "/boot/initrd.img-$(uname -r)" /root/initrd
sync
tar -C /root -cf /dev/disk/by-id/virtio-export cmdline release vmlinuz initrd
rm /root/cmdline /root/release /root/vmlinuz /root/initrd
fstrim / 2>/dev/null || :
sync
echo "provision: done"
