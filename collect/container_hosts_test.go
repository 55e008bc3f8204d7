package collect_test

import "strings"

const containerGiB = "1073741824"

// containerBase holds what every process sees of itself and its kernel. The
// host booted at 1795368867. Process 1 started 5 s later, this process after
// 100 s.
func containerBase() tree {
	return tree{
		"proc/stat":         "cpu 1 2 3\nbtime 1795368867\n",
		"proc/meminfo":      meminfo(4096 * mib),
		"proc/1/stat":       "1 (systemd) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 500 1 2\n",
		"proc/1/cgroup":     "0::/init.scope\n",
		"proc/self/stat":    "42 (heka (a) ) R) S 1 42 42 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 10012 1 2\n",
		"sys/dev/block/8:0": "-> ../../devices/pci0000:00/host0/block/sda", "sys/dev/block/253:1": "-> ../../devices/virtual/block/dm-1",
	}
}

// v2Group adds a group other than the root to a tree. dir is relative to
// /sys/fs/cgroup.
func v2Group(t tree, dir string, files tree) tree {
	path := "sys/fs/cgroup" + strings.TrimSuffix(dir, "/") + "/"
	out := t.with(tree{path + "cgroup.procs": "42\n", path + "cgroup.events": "populated 1\nfrozen 0\n", path + "cgroup.type": "domain\n"})
	for name, text := range files {
		out[path+name] = text
	}
	return out
}

// v1Group adds a group to a hierarchy of version 1.
func v1Group(t tree, dir string, files tree) tree {
	path := "sys/fs/cgroup/" + dir + "/"
	out := t.with(tree{path + "cgroup.procs": "42\n", path + "tasks": "42\n"})
	for name, text := range files {
		out[path+name] = text
	}
	return out
}

// v1Root makes a version 1 group the root of its hierarchy.
func v1Root(t tree, dir string, files tree) tree {
	return v1Group(t, dir, files).with(tree{"sys/fs/cgroup/" + dir + "/release_agent": "\n"})
}

func v2Mount(root string) string {
	return "23 1 0:20 / /proc rw - proc proc rw\n30 23 0:26 " + root + " /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
}

// v1Mounts returns mounts of version 1 hierarchies such as "cpu,cpuacct", each
// with the given root.
func v1Mounts(root string, controllers ...string) string {
	text := "29 23 0:25 / /sys/fs/cgroup ro - tmpfs tmpfs ro,mode=755\n"
	for _, c := range controllers {
		text += "31 29 0:30 " + root + " /sys/fs/cgroup/" + c + " ro,nosuid - cgroup cgroup rw," + c + "\n"
	}
	return text
}

// full returns the files of a version 2 group with every controller.
func full() tree {
	return tree{
		"cpu.stat":        "usage_usec 3500000\nuser_usec 3000000\nsystem_usec 500000\nnr_periods 100\nnr_throttled 7\nthrottled_usec 1234567\nnr_bursts 0\n",
		"cpu.max":         "max 100000\n",
		"memory.current":  "104857600\n",
		"memory.max":      "max\n",
		"memory.stat":     "anon 50000000\nfile 40000000\ninactive_anon 1\nactive_file 1\ninactive_file 4857600\nworkingset_refault_file 3\n",
		"memory.events":   "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 1\n",
		"io.stat":         "8:0 rbytes=1000 wbytes=2000 rios=3 wios=4 dbytes=0 dios=0\n253:1 rbytes=10 wbytes=0 rios=1 wios=0 dbytes=0 dios=0\n",
		"cpu.pressure":    "some avg10=0.00 avg60=0.00 avg300=0.00 total=1000001\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=5\n",
		"memory.pressure": "some avg10=0.00 avg60=0.00 avg300=0.00 total=0\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=0\n",
		"io.pressure":     "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\nfull avg10=0.00 avg60=0.00 avg300=0.00 total=7\n",
	}
}

func containerHosts() map[string]tree {
	hosts := v1Hosts()
	root := containerBase().with(tree{
		"proc/self/mountinfo": v2Mount("/"), "proc/self/cgroup": "0::/\n",
		// The root has values too: those of the whole host.
		"sys/fs/cgroup/cgroup.procs": "1\n", "sys/fs/cgroup/cpu.stat": "usage_usec 99\nuser_usec 98\nsystem_usec 1\n", "sys/fs/cgroup/io.stat": "8:0 rbytes=99 wbytes=99\n",
		"sys/fs/cgroup/memory.stat": "inactive_file 99\n", "sys/fs/cgroup/cpu.pressure": "some total=99\n",
	})
	hosts["v2-host-root"] = root

	service := root.with(tree{"proc/self/cgroup": "0::/system.slice/agent.service\n"})
	service = v2Group(service, "/system.slice", tree{"memory.max": "max\n", "memory.current": "999999999\n", "cpu.max": "max 100000\n"})
	service = v2Group(service, "/system.slice/agent.service", full())
	service = v2Group(service, "/system.slice/agent.service", tree{"memory.max": "209715200\n", "cpu.max": "50000 100000\n"})
	hosts["v2-service"] = service

	// Kubernetes in the host's cgroup namespace. The pod has a limit,
	// kubepods.slice a much higher one, and the process is in a group below its
	// container's.
	nested := root.with(tree{"proc/self/cgroup": "0::/kubepods.slice/kubepods-pod1.slice/cri-containerd-ab.scope/init\n"})
	nested = v2Group(nested, "/kubepods.slice", tree{"memory.max": "3221225472\n", "cpu.max": "400000 100000\n"})
	nested = v2Group(nested, "/kubepods.slice/kubepods-pod1.slice", tree{"memory.max": containerGiB + "\n", "cpu.max": "150000 100000\n"})
	nested = v2Group(nested, "/kubepods.slice/kubepods-pod1.slice/cri-containerd-ab.scope", tree{"memory.max": "2147483648\n", "cpu.max": "100000 50000\n"})
	nested = v2Group(nested, "/kubepods.slice/kubepods-pod1.slice/cri-containerd-ab.scope/init", full())
	hosts["v2-nested"] = nested

	// A container with a cgroup namespace of its own, where it is process 1.
	// The host's hierarchy is mounted too, but shows nothing of this namespace.
	namespace := v2Group(containerBase(), "/", full())
	namespace = v2Group(namespace, "/", tree{
		"cpu.max":     "250000 100000\n",
		"memory.stat": "inactive_file 999999999\n", // read after memory.current
		"io.stat":     "7:0 \n8:0 253:1 rbytes=10 wbytes=20 rios=1\n8:0 rbytes=5 wbytes=x cost.usage=3\n259:99 rbytes=1 wbytes=2\nbad:9 rbytes=7 wbytes=7\n",
	})
	hosts["v2-namespace"] = namespace.with(tree{
		"proc/self/cgroup": "0::/\n", "proc/1/cgroup": "0::/\n",
		"proc/self/mountinfo":             "40 1 0:26 /../.. /host/sys/fs/cgroup ro - cgroup2 cgroup rw\n" + v2Mount("/"),
		"host/sys/fs/cgroup/cgroup.procs": "1\n", "host/sys/fs/cgroup/memory.current": "99\n",
	})

	// A container without limits on an old kernel: controllers are off, and
	// there is no system_usec.
	hosts["v2-no-limits"] = v2Group(root, "/docker/\\x2d ab", tree{"cpu.stat": "usage_usec 3500000\n", "memory.max": "max\n"}).with(tree{
		"proc/self/cgroup": "0::/docker/\\x2d ab\n",
	})
	// The process was moved out of its own namespace.
	hosts["v2-outside"] = root.with(tree{"proc/self/cgroup": "0::/../other\n"})
	return hosts
}

func v1Hosts() map[string]tree {
	hosts := map[string]tree{}
	memory := tree{
		"memory.usage_in_bytes": "104857600\n", "memory.limit_in_bytes": "9223372036854771712\n",
		"memory.stat":        "cache 1\ninactive_file 1\nhierarchical_memory_limit 1\ntotal_cache 2\ntotal_inactive_file 857600\n",
		"memory.oom_control": "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n",
	}
	cpu := tree{
		"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n", "cpu.stat": "nr_periods 9\nnr_throttled 3\nthrottled_time 1500000000\n",
		"cpuacct.usage": "3500000000\n", "cpuacct.stat": "user 299\nsystem 51\n", "cpuacct.usage_user": "3000000000\n", "cpuacct.usage_sys": "500000000\n",
	}
	blkio := tree{
		"blkio.throttle.io_service_bytes":           "8:0 Read 1\n8:0 Write 2\nTotal 3\n",
		"blkio.throttle.io_service_bytes_recursive": "8:0 Read 1000\n8:0 Write 2000\n8:0 Sync 3000\n8:0 Async 0\n8:0 Discard 0\n8:0 Total 3000\n253:1 Read 10\n253:1 Write 0\n8:0 Read 1\n8:0 Write 1\nTotal 3012\n",
	}
	// Docker mounts the container's own group of each hierarchy, in the host's
	// cgroup namespace, here also in a directory with an odd name.
	docker := containerBase()
	docker = v1Group(docker, "memory", memory)
	docker = v1Group(docker, "memory", tree{"memory.limit_in_bytes": containerGiB + "\n"})
	docker = v1Group(docker, "cpu,cpuacct", cpu)
	docker = v1Group(docker, "cpu,cpuacct", tree{"cpu.cfs_quota_us": "20000\n"})
	docker = v1Group(docker, "blkio", blkio)
	groups := "9:name=systemd:/docker/f00d\n4:memory:/docker/f00d\n3:cpu,cpuacct:/docker/f00d\n2:blkio:/docker/f00d\n"
	hosts["v1-docker"] = docker.with(tree{
		"proc/self/cgroup": groups, "proc/1/cgroup": groups,
		"proc/self/mountinfo": v1Mounts("/docker/f00d", "memory", "cpu,cpuacct", "blkio", "name=systemd"),
	})

	// The whole hierarchies are visible, as on a node. The kernel is old: it
	// has no times by state in ns, and no recursive counts.
	const pod = "/kubepods/burstable/podabc"
	kubernetes := v1Root(containerBase(), "memory", memory)
	kubernetes = v1Group(kubernetes, "memory/kubepods", tree{"memory.limit_in_bytes": "4000000000\n"})
	kubernetes = v1Group(kubernetes, "memory/kubepods/burstable", tree{"memory.limit_in_bytes": "9223372036854771712\n"})
	kubernetes = v1Group(kubernetes, "memory"+pod, tree{"memory.limit_in_bytes": "536870912\n"})
	kubernetes = v1Group(kubernetes, "memory"+pod+"/beef", memory)
	kubernetes = v1Root(kubernetes, "cpu,cpuacct", nil)
	kubernetes = v1Group(kubernetes, "cpu,cpuacct"+pod, tree{"cpu.cfs_quota_us": "100000\n", "cpu.cfs_period_us": "100000\n"})
	kubernetes = v1Group(kubernetes, "cpu,cpuacct"+pod+"/beef", cpu).with(tree{
		"sys/fs/cgroup/cpu,cpuacct" + pod + "/beef/cpuacct.usage_user": "", "sys/fs/cgroup/cpu,cpuacct" + pod + "/beef/cpuacct.usage_sys": "",
	})
	kubernetes = v1Group(kubernetes, "blkio"+pod+"/beef", blkio).with(tree{
		"sys/fs/cgroup/blkio" + pod + "/beef/blkio.throttle.io_service_bytes_recursive": "",
	})
	hosts["v1-kubernetes"] = kubernetes.with(tree{
		"proc/self/cgroup":    "4:memory:" + pod + "/beef\n3:cpu,cpuacct:" + pod + "/beef\n2:blkio:" + pod + "/beef\n",
		"proc/self/mountinfo": v1Mounts("/", "memory", "cpu,cpuacct", "blkio"),
	})
	// A container without limits in cgroup namespaces.
	plain := v1Group(v1Group(containerBase(), "memory", memory), "cpuacct", tree{"cpuacct.usage": "3500000000\n"})
	hosts["v1-no-limits"] = plain.with(tree{
		"proc/self/cgroup":    "4:memory:/\n3:cpuacct:/\n1:cpu:/\n",
		"proc/self/mountinfo": v1Mounts("/", "memory", "cpuacct", "cpu"),
	})
	// systemd with version 1 controllers and its own tree in version 2.
	const service = "/system.slice/agent.service"
	hybrid := v1Group(v1Root(containerBase(), "memory", memory), "memory/system.slice", memory)
	hybrid = v1Group(hybrid, "cpu,cpuacct"+service, cpu)
	hybrid = v1Group(hybrid, "cpu,cpuacct"+service, tree{"cpu.cfs_quota_us": "300000\n"})
	hybrid = v2Group(hybrid, "/unified"+service, tree{"cpu.pressure": full()["cpu.pressure"], "cpu.stat": full()["cpu.stat"]})
	unified := "32 29 0:27 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n"
	hybrid["proc/self/mountinfo"] = v1Mounts("/", "memory", "cpu,cpuacct") + unified
	hosts["hybrid-systemd"] = hybrid.with(tree{
		"proc/self/cgroup": "4:memory:/system.slice\n3:cpu,cpuacct:" + service + "\n1:name=systemd:" + service + "\n0::" + service + "\n",
	})
	// The same process in the roots of version 1, whose values are the host's.
	hosts["hybrid-no-memory"] = hybrid.with(tree{
		"proc/self/cgroup":                        "4:memory:/\n3:cpu,cpuacct:/\n0::" + service + "\n",
		"sys/fs/cgroup/cpu,cpuacct/release_agent": "\n", "sys/fs/cgroup/cpu,cpuacct/tasks": "1\n", "sys/fs/cgroup/cpu,cpuacct/cgroup.procs": "1\n",
	})
	return hosts
}
