package agent

import (
	"cmp"
	"strings"
)

// Nearest returns the candidate that takes the fewest insertions, deletions,
// substitutions and swaps of neighbours to make from word, the first of several,
// unless they are more than a third of word; else the first that begins with
// word, or "".
func Nearest(word string, candidates []string) string {
	best, fewest := "", len(word)/3+1
	begun := ""
	for _, c := range candidates {
		if d := editDistance(word, c); d < fewest {
			best, fewest = c, d
		}
		if begun == "" && word != "" && strings.HasPrefix(c, word) {
			begun = c
		}
	}
	return cmp.Or(best, begun)
}

// editDistance is the optimal string alignment distance, byte by byte.
func editDistance(a, b string) int {
	var before []int
	last := make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(last[j]+1, row[j-1]+1, last[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last = last, row
	}
	return last[len(b)]
}
