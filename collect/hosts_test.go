package collect_test

import (
	"fmt"
	"strings"
)

// fixtureHosts returns the hosts with golden files, each in two states five
// seconds apart.
func fixtureHosts() map[string][2]tree {
	return map[string][2]tree{
		"vm":          vm(),
		"numa128":     numa128(),
		"raspberrypi": raspberryPi(),
		"disks40":     disks40(),
	}
}

// vm returns a small cloud machine that runs containers.
func vm() [2]tree {
	first := tree{
		"proc/stat":        "cpu  7203 10 3041 141479 112 1 67 32 500 5\ncpu0 3470 5 1420 71019 22 0 13 15 250 2\ncpu1 3733 5 1621 70460 90 1 54 17 250 3\nintr 277552 0 0\nctxt 466618\nbtime 1795368867\nprocesses 6651\nprocs_running 3\nprocs_blocked 1\n",
		"proc/loadavg":     "1.06 0.66 0.50 2/85 24089\n",
		"proc/meminfo":     meminfo(4096*mib) + "HugePages_Total:       0\nHugePages_Free:        0\nHugePages_Rsvd:        0\nHugePages_Surp:        0\nHugepagesize:       2048 kB\n",
		"proc/vmstat":      smallVmstat,
		"proc/swaps":       "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n/swapfile                               file\t\t2097148\t\t97148\t\t-2\n/dev/vda3                               partition\t1024\t\t0\t\t-3\n",
		"proc/uptime":      "1234.56 2400.00\n",
		"proc/net/dev":     "", // the container's own, which must not be read
		"proc/1/net/dev":   netHeader + nic("lo", 5000, 5000) + nic("eth0", 181568369, 1185387) + nic("docker0", 1000, 1000) + nic("veth12ab34", 2000, 3000),
		"proc/filesystems": "nodev\tproc\nnodev\toverlay\n\text4\n\tvfat\n",
		"proc/1/net/snmp":  snmp, "proc/1/net/sockstat": sockstat, "proc/1/net/sockstat6": sockstat6,
		"proc/1/mountinfo": `22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:1 / / rw,relatime - ext4 /dev/vda1 rw,discard
28 27 254:15 / /boot/efi ro,relatime - vfat /dev/vda15 rw
29 27 0:25 / /dev/shm rw - tmpfs tmpfs rw
30 27 7:0 / /snap/core/1 ro,nodev - squashfs /dev/loop0 ro
31 27 254:1 /var/lib/data /srv/data rw - ext4 /dev/vda1 rw
32 27 0:50 / /var/lib/docker/overlay2/abc/merged rw - overlay overlay rw
33 27 0:51 / /mnt/nfs rw - nfs4 server:/export rw
34 27 254:16 / /mnt/with\040space rw - ext4 /dev/vdb rw
35 27 254:16 / /mnt/again rw - ext4 /dev/vdb rw
`,
		"proc/diskstats":                  diskLine(7, 0, "loop0", 77) + diskLine(254, 0, "vda", 14870) + diskLine(254, 1, "vda1", 14000) + diskLine(254, 16, "vdb", 0) + diskLine(11, 0, "sr0", 9) + diskLine(253, 0, "zram0", 8),
		"sys/devices/system/cpu/online":   "0-1\n",
		"sys/block/vda/device/vendor":     "0x1af4\n",
		"sys/block/vda/hidden":            "0\n",
		"sys/block/vdb/device/vendor":     "0x1af4\n",
		"sys/block/sr0/device/type":       "5\n",
		"sys/block/loop0/size":            "100\n",
		"sys/block/zram0/size":            "100\n",
		cpuTopology(0, "core_cpus_list"):  "0-1\n",
		cpuTopology(1, "core_cpus_list"):  "0-1\n",
		"sys/devices/system/cpu/possible": "0-1\n",
		"proc/pressure/cpu":               "some avg10=78.62 avg60=63.18 avg300=29.37 total=11590791615\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"proc/pressure/memory":            "some avg10=0.00 avg60=0.00 avg300=0.00 total=1\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"proc/pressure/io":                "some avg10=0.00 avg60=0.28 avg300=0.52 total=508911883\nfull avg10=0.00 avg60=0.09 avg300=0.25 total=192822770\n",
	}
	second := first.with(tree{
		"proc/net/dev":   "",
		"proc/stat":      "cpu  7303 10 3091 142179 162 1 67 32 600 5\ncpu0 3520 5 1440 71369 72 0 13 15 300 2\ncpu1 3783 5 1651 70810 90 1 54 17 300 3\nbtime 1795368867\nprocesses 6700\nprocs_running 1\nprocs_blocked 0\n",
		"proc/uptime":    "1239.56 2409.00\n",
		"proc/diskstats": strings.ReplaceAll(first["proc/diskstats"], " vda 14870 ", " vda 14970 "),
	})
	return [2]tree{first, second}
}

func cpuTopology(n int, file string) string {
	return fmt.Sprintf("sys/devices/system/cpu/cpu%d/topology/%s", n, file)
}

// numa128 returns a two-socket server with two threads per core and NVMe
// multipath.
func numa128() [2]tree {
	stat := func(busy, idle int) string {
		var b strings.Builder
		line := func(name string, n int) {
			fmt.Fprintf(&b, "%s %d 0 %d %d 10 0 5 0 0 0\n", name, n*busy, n*busy/2, n*idle)
		}
		line("cpu ", 128)
		for i := range 128 {
			line(fmt.Sprintf("cpu%d", i), 1)
		}
		b.WriteString("intr 99999999" + strings.Repeat(" 12345", 2000) + "\nbtime 1790000000\nprocesses 123456789\nprocs_running 97\nprocs_blocked 3\n")
		return b.String()
	}
	first := tree{
		"proc/stat":        stat(100000, 900000),
		"proc/loadavg":     "97.31 88.20 70.02 120/4321 999999\n",
		"proc/meminfo":     meminfo(512*1024*mib) + "HugePages_Total:    1024\nHugePages_Free:      512\nHugePages_Rsvd:       10\nHugePages_Surp:        0\nHugepagesize:    1048576 kB\n",
		"proc/vmstat":      smallVmstat,
		"proc/swaps":       "Filename\t\t\t\tType\t\tSize\t\tUsed\t\tPriority\n",
		"proc/uptime":      "8640000.01 1000000000.00\n",
		"proc/filesystems": "\txfs\n",
		"proc/1/mountinfo": "27 1 259:1 / / rw - xfs /dev/nvme0n1p1 rw\n28 27 259:5 / /data rw - xfs /dev/nvme1n1 rw\n29 27 0:40 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n",
		"proc/1/net/dev":   netHeader + nic("lo", 5000, 5000) + nic("bond0", 18446744073709551000, 1<<62) + nic("ens1f0", 9000000000000, 1<<62) + nic("ens1f0.100", 7000000000, 1),
		"proc/1/net/snmp":  snmp, "proc/1/net/sockstat": sockstat,
		"proc/diskstats": diskLine(259, 0, "nvme0n1", 1e9) + diskLine(259, 1, "nvme0n1p1", 1e9) +
			diskLine(259, 5, "nvme1n1", 2e9) + diskLine(259, 6, "nvme1c0n1", 1e9) + diskLine(259, 7, "nvme1c1n1", 1e9),
		"sys/devices/system/cpu/online": "0-63,64-127\n",
		"proc/pressure/cpu":             "some avg10=0.00 avg60=0.00 avg300=0.00 total=2000000\n", // before Linux 5.13
		"sys/block/nvme0n1/device":      "-> ../../nvme0",
		"sys/block/nvme0n1/hidden":      "0\n",
		"sys/block/nvme1n1/device":      "-> ../../nvme-subsys1",
		"sys/block/nvme1n1/hidden":      "0\n",
		"sys/block/nvme1c0n1/device":    "-> ../../nvme1",
		"sys/block/nvme1c0n1/hidden":    "1\n",
		"sys/block/nvme1c1n1/device":    "-> ../../nvme2",
		"sys/block/nvme1c1n1/hidden":    "1\n",
	}
	for i := range 128 {
		first[cpuTopology(i, "core_cpus_list")] = fmt.Sprintf("%d,%d\n", i%64, i%64+64)
	}
	return [2]tree{first, first.with(tree{"proc/stat": stat(100250, 900250)})}
}

// raspberryPi returns a small board with a 32-bit system: no huge pages, no
// IPv6, a root file system named /dev/root, and an eMMC with boot areas.
func raspberryPi() [2]tree {
	first := tree{
		"proc/stat":                            "cpu  100 0 50 9000 5 0 3\ncpu0 25 0 13 2250 2 0 3\ncpu1 25 0 13 2250 1 0 0\ncpu2 25 0 12 2250 1 0 0\ncpu3 25 0 12 2250 1 0 0\nintr 1 2 3\nbtime 1795000000\nprocesses 321\nprocs_running 1\nprocs_blocked 0\n",
		"proc/loadavg":                         "0.00 0.01 0.05 1/77 321\n",
		"proc/meminfo":                         meminfo(924 * mib),
		"proc/vmstat":                          smallVmstat,
		"proc/uptime":                          "92.10 360.00\n",
		"proc/filesystems":                     "\text4\n\tvfat\n",
		"proc/1/mountinfo":                     "24 1 179:2 / / rw,noatime - ext4 /dev/root rw\n25 24 179:1 / /boot rw - vfat /dev/mmcblk0p1 rw\n",
		"proc/1/net/dev":                       netHeader + nic("lo", 1, 1) + nic("eth0", 0, 0) + nic("wlan0", 4294967290, 12345),
		"proc/1/net/snmp":                      snmp,
		"proc/1/net/sockstat":                  sockstat,
		"proc/diskstats":                       diskLine(179, 0, "mmcblk0", 500) + diskLine(179, 1, "mmcblk0p1", 20) + diskLine(179, 2, "mmcblk0p2", 480) + diskLine(179, 32, "mmcblk0boot0", 3) + diskLine(1, 0, "ram0", 1),
		"sys/devices/system/cpu/online":        "0-3\n",
		"sys/dev/block/179:2":                  "-> ../../devices/mmcblk0/mmcblk0p2",
		"sys/block/mmcblk0/device":             "-> ../../mmc0:0001",
		"sys/block/mmcblk0boot0/device":        "-> ../../mmc0:0001",
		"sys/block/ram0/size":                  "0\n",
		cpuTopology(0, "thread_siblings_list"): "0\n", cpuTopology(1, "thread_siblings_list"): "1\n",
		cpuTopology(2, "thread_siblings_list"): "2\n", cpuTopology(3, "thread_siblings_list"): "3\n",
	}
	return [2]tree{first, first.with(tree{
		"proc/stat": "cpu  600 0 550 10000 5 0 3\ncpu0 525 0 13 2750 2 0 3\nbtime 1795000000\nprocesses 325\nprocs_running 2\nprocs_blocked 0\n",
		// The received bytes have wrapped at 32 bits.
		"proc/1/net/dev": netHeader + nic("lo", 1, 1) + nic("eth0", 0, 0) + nic("wlan0", 5000, 22345),
	})}
}

// disks40 returns a host with 20 volumes, each over two paths, with striped and
// logical volumes on top.
func disks40() [2]tree {
	base := vm()[0]
	files := base.with(tree{"proc/diskstats": "", "proc/1/mountinfo": "", "sys/block/vda/device/vendor": "", "sys/block/vda/hidden": "", "sys/block/vdb/device/vendor": ""})
	var stats, mounts strings.Builder
	for i := range 40 {
		name := "sd" + string(rune('a'+i%26))
		if i >= 26 {
			name = "sda" + string(rune('a'+i%26))
		}
		stats.WriteString(diskLine(8, 16*i, name, uint64(1e6*(i+1))))
		stats.WriteString(diskLine(8, 16*i+1, name+"1", uint64(1e6*(i+1))))
		files["sys/block/"+name+"/device"] = "-> ../../../0:0:0:0"
	}
	for i := range 20 {
		stats.WriteString(diskLine(253, i, fmt.Sprintf("dm-%d", i), uint64(2e6*(i+1))))
		files[fmt.Sprintf("sys/block/dm-%d/dm/name", i)] = fmt.Sprintf("mpath%c\n", 'a'+i)
		fmt.Fprintf(&mounts, "%d 1 253:%d / /data/%02d rw - xfs /dev/mapper/mpath%c rw\n", 100+i, i, i, 'a'+i)
	}
	stats.WriteString(diskLine(9, 0, "md0", 5))
	files["sys/block/md0/size"] = "1\n"
	files["proc/diskstats"], files["proc/1/mountinfo"] = stats.String(), mounts.String()
	return [2]tree{files, files}
}
