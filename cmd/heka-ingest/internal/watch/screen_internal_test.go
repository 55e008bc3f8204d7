package watch

import "testing"

func TestScreen(t *testing.T) {
	got := screen([]string{"short", "exactly10!", "longer than that"}, 10, true)
	want := "\x1b[2J\x1b[Hshort\x1b[K\r\nexactly10!\x1b[K\r\nlonger th…\x1b[K\r\n\x1b[J"
	if got != want {
		t.Errorf("screen = %q\nwant %q", got, want)
	}
}
