package promtext_test

import (
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/heka-insights/heka-insights-agent/collect/promtext"
)

func TestParse(t *testing.T) {
	const text = `# HELP b_bytes Size of\\the\nbackup "x".
# TYPE b_bytes gauge
b_bytes{target="nas",path="C:\\dir\n\"q\"",} 1.5e+09
b_bytes { target = "tape" }	-Inf
# any comment

	# TYPE h histogram
h_bucket{le="0.5"} 3
h_bucket{le="+Inf"} 4
h_sum 1.25
h_count 4
# TYPE s summary
s{quantile="0.99",a=""} NaN
s_count{a=""} 1
# TYPE c_total COUNTER
c_total 7 1700000000000
plain:name 0
h_total 1
`
	want := []string{
		`b_bytes gauge "Size of\\the\nbackup \"x\"." [{target nas} {path C:\dir` + "\n" + `"q"}] 1.5e+09 false`,
		`b_bytes gauge "Size of\\the\nbackup \"x\"." [{target tape}] -Inf false`,
		`h_bucket histogram "" [{le 0.5}] 3 false`,
		`h_bucket histogram "" [{le +Inf}] 4 false`,
		`h_sum histogram "" [] 1.25 false`,
		`h_count histogram "" [] 4 false`,
		`s summary "" [{quantile 0.99} {a }] NaN false`,
		`s_count summary "" [{a }] 1 false`,
		`c_total counter "" [] 7 true`,
		`plain:name untyped "" [] 0 false`,
		`h_total untyped "" [] 1 false`,
	}
	samples, err := promtext.Parse(text, math.MaxInt)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range samples {
		got = append(got, fmt.Sprintf("%s %v %q %v %v %v", s.Name, s.Type, s.Help, s.Labels, s.Value, s.Timed))
	}
	if !slices.Equal(got, want) {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

// TestMistakes checks that a mistake fails the whole text and names the line.
func TestMistakes(t *testing.T) {
	for text, want := range map[string]string{
		"a 1\nb 2":                         "line 2: the last line has no end: half of a file",
		"a 1\n9a 2\n":                      "line 2: no metric name",
		"a\n":                              "line 1: no blank after the name a",
		"a{} \n":                           `line 1: want a number as the value of a, got ""`,
		"a{}b\n":                           `line 1: want a number as the value of a, got "b"`,
		"a 0x1\n":                          `line 1: want a number as the value of a, got "0x1"`,
		"a 1_0\n":                          `line 1: want a number as the value of a, got "1_0"`,
		"a 1 2 3\n":                        `line 1: want a time stamp or the line's end after the value, got " 2 3"`,
		"a 1 x\n":                          `line 1: want a time stamp or the line's end after the value, got " x"`,
		"a 1 \n":                           `line 1: want a time stamp or the line's end after the value, got " "`,
		"a-b 1\n":                          "line 1: no blank after the name a",
		"a{b=\"1\" c=\"2\"} 1\n":           `line 1: want a comma or a closing brace after the label b, got "c=\"2\"} 1"`,
		"a{b=\"1\",b=\"2\"} 1\n":           "line 1: the label b comes twice",
		"a{b=\"1} 1\n":                     "line 1: the value of the label b has no closing quote",
		"a{b=\"1\\\"} 1\n":                 "line 1: the value of the label b has no closing quote",
		"a{b=\"\\t\"} 1\n":                 "line 1: a backslash in the label b that escapes nothing",
		"a{b=\"\xff\"} 1\n":                "line 1: the label b is not UTF-8",
		"a{b=1} 1\n":                       `line 1: want a quoted value of the label b, got "1} 1"`,
		"a{b} 1\n":                         `line 1: want name="value" or a closing brace, got "b} 1"`,
		"a{,} 1\n":                         `line 1: want name="value" or a closing brace, got ",} 1"`,
		"a{__name__=\"b\"} 1\n":            "line 1: the label name __name__ is reserved",
		"# TYPE a blob\n":                  `line 1: unknown type "blob"`,
		"# TYPE a gauge\n# TYPE a gauge\n": "line 2: TYPE of a comes twice, or after its samples",
		"a 1\n# TYPE a gauge\n":            "line 2: TYPE of a comes twice, or after its samples",
		"# HELP a x\n# HELP a x\n":         "line 2: a second HELP line for a",
		"# HELP a \\x\n":                   "line 1: a backslash in HELP that escapes nothing",
		"# HELP 9 x\n":                     "line 1: no metric name after HELP",
		"# TYPE h histogram\nh 1\n":        "line 2: h is no part of a histogram",
		"# TYPE h histogram\nh_bucket 1\n": "line 2: h_bucket has no label le that is a number",
		"# TYPE h histogram\nh_bucket{le=\"x\"} 1\n":        "line 2: h_bucket has no label le that is a number",
		"# TYPE s summary\ns 1\n":                           "line 2: s has no label quantile that is a number",
		"# TYPE s summary\n# TYPE s_sum counter\ns_sum 1\n": "line 2: TYPE of s_sum comes twice, or after its samples",
	} {
		samples, err := promtext.Parse(text, math.MaxInt)
		var mistake *promtext.Error
		if !errors.As(err, &mistake) || err.Error() != want || samples != nil {
			t.Errorf("Parse(%q) = %v, %v, want %s", text, samples, err, want)
		}
	}
}

// FuzzParse compares with prometheus/common: it must accept everything that
// Parse accepts, and return the same.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/*.prom")
	if err != nil || len(files) == 0 {
		f.Fatal("no testdata", err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		if _, err := promtext.Parse(string(text), math.MaxInt); err != nil {
			f.Errorf("%s: %v", file, err)
		}
		f.Add(string(text))
	}
	f.Fuzz(func(t *testing.T, text string) {
		samples, err := promtext.Parse(text, math.MaxInt)
		if err != nil {
			return
		}
		parser := expfmt.NewTextParser(model.LegacyValidation)
		families, err := parser.TextToMetricFamilies(strings.NewReader(text))
		if err != nil {
			t.Fatalf("the reference: %v", err)
		}
		if got, want := mine(samples), reference(families); !slices.Equal(got, want) {
			t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	})
}
