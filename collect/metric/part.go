package metric

import (
	"math/bits"
	"strconv"
)

// PartPath returns the suffix that a part adds to the id of its batch: "/0" and
// "/1" for the halves, "/0/1" for the second half of the first. Parts are
// numbered like a heap: 1 is the whole batch, and the halves of p are 2p and
// 2p+1. The path of 0 and of 1 is empty.
func PartPath(part uint16) string {
	var path []byte
	for depth := bits.Len16(part) - 2; depth >= 0; depth-- {
		path = append(path, '/')
		path = strconv.AppendUint(path, uint64(part>>depth&1), 10)
	}
	return string(path)
}
