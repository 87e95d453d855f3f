#!/bin/sh
# Kernel modules: relocation, new code and data in vmalloc space, init sections
# that are freed again, and what some of them do when they start (raid6 measures
# its SSE and AVX routines with the FPU in the kernel).
[ -d "/lib/modules/$(uname -r)" ] || { echo "skip modules: none in this image"; exit 0; }

check() {	# NAME CONDITION-STATUS DETAIL
	if [ "$2" = 0 ]; then echo "ok modules/$1"; else echo "FAIL modules/$1: $3"; fi
}
loaded() { grep -q "^$1 " /proc/modules; }

# Those with no hardware behind them, each with everything it needs.
# libcrc32c asks the kernel for its algorithm, and the kernel runs /sbin/modprobe.
for m in crc7 crc_itu_t libcrc32c dummy tun loop; do
	out=$(modprobe $m 2>&1)
	check load_$m $? "$out"
done
loaded loop
check listed $? "loop is not in /proc/modules"
loaded crc32c_generic
check requested_by_kernel $? "crc32c_generic was not loaded"

# Network device from a module, configured and used.
ip link set dummy0 up 2>/dev/null && ip addr add 10.9.8.7/24 dev dummy0 2>/dev/null
ip addr show dummy0 2>/dev/null | grep -q 10.9.8.7
check dummy_device $? "no address on dummy0"
ip link set lo up
ping -c 2 -W 5 127.0.0.1 >/dev/null 2>&1
check ping $? "loopback does not answer"

# Load and unload, over and over: code pages come and go at the same addresses.
n=0
while [ $n -lt 15 ]; do
	for m in crc7 dummy; do
		rmmod $m 2>/dev/null || break 2
		modprobe $m || break 2
	done
	n=$((n + 1))
done
[ $n = 15 ]
check load_unload $? "failed in round $n"

out=$(modprobe raid6_pq 2>&1)
check load_raid6_pq $? "$out"
dmesg | sed -n 's/^.*\(raid6: [^s].*\)/    \1/p' | grep -v 'skipped' | tail -n 12
dmesg | grep -q 'raid6: using algorithm'
check raid6_benchmark $? "raid6 chose no algorithm"
out=$(modprobe xor 2>&1)
check load_xor $? "$out"

# A file system in a module on a block device in a module.
out=$(modprobe ext4 2>&1)
check load_ext4 $? "$out"
if [ -e /tests/data/ext4.img.gz ]; then
	mkdir -p /tmp/mnt
	gunzip -c /tests/data/ext4.img.gz >/tmp/ext4.img
	mount -o loop -t ext4 /tmp/ext4.img /tmp/mnt
	check mount_ext4 $? "mount failed"
	i=0
	while [ $i -lt 40 ]; do
		head -c $((i * 997)) /tests/t/process >/tmp/mnt/f$i
		i=$((i + 1))
	done
	before=$(cat /tmp/mnt/f* | md5sum)
	umount /tmp/mnt && mount -o loop -t ext4 /tmp/ext4.img /tmp/mnt
	[ "$(cat /tmp/mnt/f* | md5sum)" = "$before" ]
	check ext4_files $? "the files changed over a remount"
	umount /tmp/mnt
	rmmod ext4
	check unload_ext4 $? "rmmod failed"
	rm -f /tmp/ext4.img
fi
if dmesg | grep -q -E 'BUG:|WARNING:|Oops|Call Trace'; then
	check kernel_log 1 "$(dmesg | grep -m 1 -E 'BUG:|WARNING:|Oops|Call Trace')"
else
	check kernel_log 0
fi
