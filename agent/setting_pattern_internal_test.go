package agent

import (
	"fmt"
	"strings"
	"testing"
)

// TestPatternMistakes are shown where they are.
func TestPatternMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"^(sda":        "missing closing ), at character 2",
		"(a(b)":        "missing closing ), at character 1",
		"(a)|(b|c(d)":  "missing closing ), at character 5",
		`a(\(`:         "missing closing ), at character 2",
		"([(]":         "missing closing ), at character 1",
		"a)b":          "unexpected ), at character 2",
		"(a)b)c":       "unexpected ), at character 5",
		`\)a)`:         "unexpected ), at character 4",
		"[z-a]":        "invalid character class range, at character 2",
		"äö[z-a]":      "invalid character class range, at character 4",
		"[a]x[a":       "missing closing ], at character 5",
		"a*b**":        "invalid nested repetition operator, at character 4",
		"a*|*":         "missing argument to repetition operator, at character 4",
		"*":            "missing argument to repetition operator, at character 1",
		"a{1,2}b{2,1}": "invalid repeat count, at character 8",
		`\d\8`:         "invalid escape sequence, at character 3",
		`ab\`:          `trailing backslash at end of expression, at character 3`,
		"x(?=y)":       "invalid or unsupported Perl syntax, at character 2",
		"a(?<n":        "invalid named capture, at character 2",
		"a\xff":        "invalid UTF-8, at character 2",
	} {
		re, f := parsePattern(text)
		if re != nil || f == nil || !strings.Contains(f.wrong, fmt.Sprintf(" (%s)", want)) {
			t.Errorf("%q: %v, want %s", text, f, want)
		}
	}
	for _, text := range []string{"", ".", `^(sda|nvme\d+)$`, "(?i)x"} {
		if re, f := parsePattern(text); re == nil || f != nil {
			t.Errorf("%q: %v", text, f)
		}
	}
}
