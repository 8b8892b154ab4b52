# Run in a new machine before it is frozen, so that its guests find these tools in memory. Nothing here may change the
# machine; a tool that a suite does not have is no error.
cd "$(mktemp -d)" || exit
cat >a.c <<'END'
#define _GNU_SOURCE
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
int main(void) { printf("%d\n", rand()); return 0; }
END
gcc -Wall -O1 -o a a.c && ./a
ldd ./a
bash -c 'read -r line </proc/self/stat; echo "${line%% *}"'
unshare --pid --uts --mount --net --fork --mount-proc hostname
nsenter --target $$ --uts hostname
ip -br link; ps aux; grep -c x /proc/mounts; awk 1 /dev/null; sed 1q /dev/null; find /proc/self/ns | sort | tail -1
for tool in python3 git make debootstrap curl jq tar gzip xz socat tcpdump nft iptables ethtool chroot mount umount \
    pidof lsns findmnt cgcreate strace dd stat readlink timeout rsync nc ping ss tee xargs cut tr wc date id
do
    command -v "$tool" && "$tool" --version </dev/null >/dev/null 2>&1
done
modprobe -a overlay veth bridge loop
cd / && rm -rf "$OLDPWD"
true
