package agent

import (
	"slices"
	"strings"
	"testing"
)

// TestGrammarOfEnvFiles has one line each, with what it says of A.
func TestGrammarOfEnvFiles(t *testing.T) {
	long := strings.Repeat("x#y $'\"\\", 50_000) + "x"
	for _, c := range []struct{ line, want string }{
		{`A=b`, `b`},
		{`  A  =  b c  `, `b c`},
		{"\tA\t=\tb\t", `b`},
		{`A=`, ``},
		{`A= `, ``},
		{`export A=b`, `b`},
		{"export\tA=b", `b`},
		{`A=xTvDqw$27`, `xTvDqw$27`},
		{`A=$2a$10$N9qo8uLOickgx2ZMRZoMye`, `$2a$10$N9qo8uLOickgx2ZMRZoMye`},
		{`A=${B}-$B-${B:-c}`, `${B}-$B-${B:-c}`},
		{`A='${B} $B'`, `${B} $B`},
		{`A="${B} $B \$B"`, `${B} $B $B`},
		{`A=web # prod # eu`, `web`},
		{`A=7s # was 5s # see "ticket"`, `7s`},
		{"A=b\t# c", `b`},
		{`A=b#c`, `b#c`},
		{`A=#b`, `#b`},
		{`A= # b`, ``},
		{`A=b#c #d`, `b#c`},
		{`A='b # c' # d # e`, `b # c`},
		{`A="b # c"   # d`, `b # c`},
		{`A="b"`, `b`},
		{`A=" b "`, ` b `},
		{`A=''`, ``},
		{`A=""`, ``},
		{`A='b"c'`, `b"c`},
		{`A="b'c"`, `b'c`},
		{`A=b'c"d`, `b'c"d`},
		{`A=b"c"`, `b"c"`},
		{`A='b\n\\\'`, `b\n\\\`},
		{`A="b\n\\\"c"`, "b\n\\\"c"},
		{`A="\d\t\.\x"`, `\d\t\.\x`},
		{`A=b\n\\\t\`, `b\n\\\t\`},
		{`A=b=c==`, `b=c==`},
		{"A='b\nc'", "b\nc"},
		{"A=\"b\nc\" # d", "b\nc"},
		{`A=é`, `é`},
		{"A=\xff\xfe", "\xff\xfe"},
		{`A=` + long, long},
		{`A='` + strings.ReplaceAll(long, "'", "") + `'`, strings.ReplaceAll(long, "'", "")},
		{"B='\nA=b", `b`}, // another program's affair
		{"B=\"x\"y\nA=b", `b`},
		{"A=b\nA=c", `c`},
	} {
		for _, frame := range []struct{ before, after string }{
			{"", ""},
			{"", "\n"},
			{byteOrderMark, "\r\n"},
			{"# B=1\n\n", "\r"},
			{"#A=z\r\n  \r\n", "\r\n# A=y\r\n"},
			{"B=1\n", "\nAA=2\nB.C-d=3\n"},
		} {
			line := c.line
			if strings.Contains(frame.after, "\r\n") {
				line = strings.ReplaceAll(line, "\n", "\r\n")
			}
			list, strays := parseEnvFile(frame.before + line + frame.after)
			got := "none"
			for _, v := range list {
				if v.name == "A" && !v.faulty {
					got = v.text
				}
			}
			if got != c.want || len(strays) > 0 {
				t.Errorf("%.80q in %q: %.80q, lines without a variable %v, want %.80q", line, frame, got, strays, c.want)
			}
		}
	}
}

// FuzzEnvFileGrammar parses anything. What it finds is found again when it is
// written as check does, and every line is accounted for.
func FuzzEnvFileGrammar(f *testing.F) {
	for _, text := range []string{
		"A=1\n", "A='x\ny'\n", "export A=\"$B\"", "\ufeffA=1", "=", "A", "'", "A=\\", "#\r\n", "A: 1\x00",
		"A=\"\\\"\\\\\\n\\$\\x\" # b", "A= # b", "A=b#c # d", "A='b'c\nB=\"", "A=' \n #\n'\r\n\r", "A=\t'",
	} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, content string) {
		list, strays := parseEnvFile(content)
		lines := strings.Count(content, "\n") + 1
		last := 0
		for _, v := range list {
			if v.line <= last || v.line > lines || slices.Contains(strays, v.line) {
				t.Fatalf("%q: %s in line %d of %d, after line %d", content, v.name, v.line, lines, last)
			}
			last = v.line
			if v.faulty {
				continue
			}
			if v.quote == 0 && !strings.Contains(content, v.text) {
				t.Errorf("%q: %s=%q is not what the file says", content, v.name, v.text)
			}
			again, strays := parseEnvFile(v.name + "=" + dotenvQuote(v.text) + "  # comment\n")
			if want := strings.ReplaceAll(v.text, "\r\n", "\n"); len(again) != 1 || len(strays) != 0 || again[0].faulty || again[0].text != want {
				t.Errorf("%s=%q, written as %s, is read as %+v", v.name, v.text, dotenvQuote(v.text), again)
			}
		}
		if len(strays) > 0 && (strays[0] < 1 || strays[len(strays)-1] > lines) {
			t.Errorf("%q: lines %v of %d", content, strays, lines)
		}
	})
}
