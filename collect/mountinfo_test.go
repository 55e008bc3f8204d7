package collect_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/heka-insights/heka-insights-agent/collect"
	"golang.org/x/sys/unix"
)

// mountLine formats a line as the kernel does, with its escapes.
func mountLine(m *collect.MountInfo) string {
	escape := strings.NewReplacer(" ", `\040`, "\t", `\011`, "\n", `\012`, `\`, `\134`, "#", `\043`).Replace
	return fmt.Sprintf("%d %d %d:%d %s %s %s shared:9 master:1 - %s %s %s\n", m.ID, m.Parent, unix.Major(m.Dev), unix.Minor(m.Dev),
		escape(m.Root), escape(m.Point), m.Options, escape(m.Type), escape(m.Source), m.Super)
}

func TestParseMountinfo(t *testing.T) {
	disk := unix.Mkdev(8, 17)
	for line, want := range map[string]collect.MountInfo{
		"36 35 8:17 / / rw,noatime master:1 - ext3 /dev/root rw,errors=continue": {36, 35, disk, "/", "/", "rw,noatime", "ext3", "/dev/root", "rw,errors=continue"},
		"36 35 8:17 / / rw - ext4 /dev/sdb1 rw":                                  {36, 35, disk, "/", "/", "rw", "ext4", "/dev/sdb1", "rw"},
		"36 35 8:17 / / rw shared:1 master:2 propagate_from:3 - ext4 /dev/sdb1 ": {36, 35, disk, "/", "/", "rw", "ext4", "/dev/sdb1", ""},
		"36 35 8:17 / / rw - ext4 /dev/sdb1":                                     {36, 35, disk, "/", "/", "rw", "ext4", "/dev/sdb1", ""},
		// An empty source, and a source that is the separator.
		"36 35 0:17 / /t rw - tmpfs  rw,size=1k": {36, 35, 17, "/", "/t", "rw", "tmpfs", "", "rw,size=1k"},
		"36 35 0:17 / /t rw - tmpfs - rw":        {36, 35, 17, "/", "/t", "rw", "tmpfs", "-", "rw"},
		// A minor number of more than eight bits, and one of more than sixteen
		// bits.
		"36 35 259:300 / / rw - xfs /dev/nvme0n1p1 rw": {36, 35, unix.Mkdev(259, 300), "/", "/", "rw", "xfs", "/dev/nvme0n1p1", "rw"},
		"36 35 0:1048575 / / rw - zfs tank rw":         {36, 35, unix.Mkdev(0, 1048575), "/", "/", "rw", "zfs", "tank", "rw"},
		`36 35 8:17 /a\040b//deleted /"q"\040\134040\011\012\043 rw - fuse.a\040b /dev/disk\040one rw`: {
			36, 35, disk, "/a b//deleted", "/\"q\" \\040\t\n#", "rw", "fuse.a b", "/dev/disk one", "rw",
		},
		"36 35 8:17 / /caf\xe9 rw - ext4 /dev/x\xff rw":                             {36, 35, disk, "/", "/caf\xe9", "rw", "ext4", "/dev/x\xff", "rw"},
		`36 35 8:17 / /a\4b\9\777\04 rw - ext4 /dev/sdb1 rw`:                        {36, 35, disk, "/", `/a\4b\9\777\04`, "rw", "ext4", "/dev/sdb1", "rw"},
		"36 35 0:4 net:[402] /run/netns/a rw - nsfs nsfs rw":                        {36, 35, 4, "net:[402]", "/run/netns/a", "rw", "nsfs", "nsfs", "rw"},
		"36 35 0:50 / / rw - overlay overlay rw,lowerdir=/a:/b,context=\"a b - c\"": {36, 35, 50, "/", "/", "rw", "overlay", "overlay", "rw,lowerdir=/a:/b,context=\"a b - c\""},
	} {
		got, _ := collect.ParseMountinfo("rubbish\n" + line + "\n\n36 35 8:17 / ")
		if len(got) != 1 || got[0] != want {
			t.Errorf("%s:\n got %+v\nwant %+v", line, got, want)
		}
	}
	for _, line := range []string{
		"", "-", " - ", "36 35 8:17 / / rw ext4 /dev/sdb1 rw", "36 35 8:17 / / rw - ext4", "36 35 8:17 / - ext4 /dev/sdb1 rw a b",
		"x 35 8:17 / / rw - ext4 /dev/sdb1 rw", "36 x 8:17 / / rw - ext4 /dev/sdb1 rw", "36 35 8 / / rw - ext4 /dev/sdb1 rw",
		"36 35 8:x / / rw - ext4 /dev/sdb1 rw", "36 35 8:4294967296 / / rw - ext4 /dev/sdb1 rw",
	} {
		if got, _ := collect.ParseMountinfo(line); len(got) != 0 {
			t.Errorf("%q is taken for %+v", line, got)
		}
	}
}

// lookUp follows a path through a table as the kernel does: at each step it
// enters the mount at that directory, then the mount on top of that, and so on.
func lookUp(at map[int]map[string]int, top int, path string) (id int) {
	enter := func(dir string) {
		for next, there := at[top][dir]; there; next, there = at[top][dir] {
			top = next
		}
	}
	enter("/")
	for i := 1; i <= len(path); i++ {
		if path != "/" && (i == len(path) || path[i] == '/') {
			enter(path[:i])
		}
	}
	return top
}

// TestVisible creates mounts at random places and compares with a walk along
// each path.
func TestVisible(t *testing.T) {
	rnd := rand.New(rand.NewPCG(7, 7))
	hiddenAtAll := 0
	for range 2000 {
		table := []collect.MountInfo{{ID: 1, Root: "/", Point: "/", Type: "ext4", Source: "d"}}
		at := map[int]map[string]int{1: {}}
		for id := 2; id < 2+rnd.IntN(12); id++ {
			path := ""
			for range rnd.IntN(4) {
				path += "/" + string("ab"[rnd.IntN(2)])
			}
			if path == "" {
				path = "/"
			}
			m := collect.MountInfo{ID: id, Parent: lookUp(at, 1, path), Root: "/", Point: path, Type: "ext4", Source: "d"}
			at[m.Parent][path] = id
			at[id] = map[string]int{}
			table = append(table, m)
		}
		var want []int
		for _, m := range table {
			if lookUp(at, 1, m.Point) == m.ID {
				want = append(want, m.ID)
			}
		}
		hiddenAtAll += len(table) - len(want)
		rnd.Shuffle(len(table), func(i, j int) { table[i], table[j] = table[j], table[i] })
		var text strings.Builder
		for i := range table {
			text.WriteString(mountLine(&table[i]))
		}
		_, seen := collect.ParseMountinfo(text.String())
		var got []int
		for _, m := range seen {
			got = append(got, m.ID)
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Fatalf("visible are %v, want %v of\n%s", got, want, text.String())
		}
	}
	if hiddenAtAll < 1000 {
		t.Errorf("only %d mounts were hidden", hiddenAtAll)
	}
}

// TestTenThousandMounts stacks the mounts on top of one another, in a chain and
// in a loop.
func TestTenThousandMounts(t *testing.T) {
	const n = 10000
	for name, c := range map[string]struct {
		point string
		first int // the parent of the first
		want  int
	}{
		"stack": {"/", 0, 1}, "chain": {"", 0, n}, "loop": {"", n, n},
	} {
		var text strings.Builder
		for i := 1; i <= n; i++ {
			m := collect.MountInfo{ID: i, Parent: i - 1, Root: "/", Point: c.point, Type: "ext4", Source: "d"}
			if i == 1 {
				m.Parent = c.first
			}
			if c.point == "" {
				m.Point = fmt.Sprintf("/m%d", i)
			}
			text.WriteString(mountLine(&m))
		}
		all, seen := collect.ParseMountinfo(text.String())
		if len(all) != n || len(seen) != c.want {
			t.Errorf("%s: %d mounts, %d of them visible, want %d and %d", name, len(all), len(seen), n, c.want)
		}
	}
}

// FuzzMountinfo parses any text, and checks that any name survives a line of
// its own.
func FuzzMountinfo(f *testing.F) {
	f.Add("36 35 8:1 / / rw - ext4 /dev/sda1 rw\n37 36 0:5 / /a\\040b ro shared:1 - tmpfs  rw\n", "/a b", "x\\134", "/sub")
	f.Add("1 1 0:0 / / - - - - - -", "/caf\xe9", "", "/")
	f.Fuzz(func(t *testing.T, text, point, source, root string) {
		all, seen := collect.ParseMountinfo(text)
		if len(all) > strings.Count(text, "\n")+1 || len(seen) > len(all) {
			t.Errorf("%d mounts, %d visible, in %q", len(all), len(seen), text)
		}
		m := collect.MountInfo{ID: 7, Parent: 6, Dev: unix.Mkdev(8, 1), Root: "/" + root, Point: "/" + point, Options: "rw", Type: "ext4", Source: source, Super: "rw"}
		if got, _ := collect.ParseMountinfo(mountLine(&m)); len(got) != 1 || got[0] != m {
			t.Errorf("got %+v\nwant %+v", got, m)
		}
	})
}
