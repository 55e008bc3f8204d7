package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"golang.org/x/term"
)

// rows writes lines of output: JSON for programs, a table for people. Call
// flush at the end.
type rows struct {
	out   *bufio.Writer
	json  *json.Encoder // nil for a table
	shape []column
	begun bool
}

// column is a column of a table. A positive width aligns it to the left, a
// negative one to the right.
type column struct {
	title string
	width int
}

// newRows returns rows in the given format: json, table, or auto to choose by
// stdout.
func newRows(stdout io.Writer, format string, shape []column) *rows {
	r := &rows{out: bufio.NewWriter(stdout), shape: shape}
	if format == "json" || format == "auto" && !isTerminal(stdout) {
		r.json = json.NewEncoder(r.out)
		r.json.SetEscapeHTML(false)
	}
	return r
}

// ignoreReader makes rows ignore that the reader of stdout has gone. It is for
// commands that do more than print, so that they finish their work.
func (r *rows) ignoreReader(stdout io.Writer) { r.out.Reset(readerIgnorer{stdout}) }

type readerIgnorer struct{ io.Writer }

func (u readerIgnorer) Write(b []byte) (int, error) {
	n, err := u.Writer.Write(b)
	if errors.Is(err, syscall.EPIPE) {
		return len(b), nil
	}
	return n, err
}

func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// row writes v as JSON, or cells as a line of the table.
func (r *rows) row(v any, cells ...any) error {
	if r.json != nil {
		return r.json.Encode(v)
	}
	if !r.begun {
		r.begun = true
		titles := make([]any, len(r.shape))
		for i, c := range r.shape {
			titles[i] = c.title
		}
		if err := r.line(titles); err != nil {
			return err
		}
	}
	return r.line(cells)
}

func (r *rows) line(cells []any) error {
	var b strings.Builder
	for i, cell := range cells {
		if i > 0 {
			b.WriteString("  ")
		}
		fmt.Fprintf(&b, "%*v", -r.shape[i].width, cell)
	}
	// A cell may hold a backend's answer, which must not control the terminal.
	text := strings.Map(printable, strings.TrimRight(b.String(), " "))
	_, err := fmt.Fprintln(r.out, text)
	return err
}

func printable(c rune) rune {
	if unicode.IsControl(c) {
		return unicode.ReplacementChar
	}
	return c
}

func (r *rows) flush() error { return r.out.Flush() }

// timeText formats a time in Unix ms as RFC 3339. It returns "" for 0.
func timeText(ms int64) string {
	if ms == 0 {
		return ""
	}
	return time.UnixMilli(ms).UTC().Format("2006-01-02T15:04:05.000Z07:00")
}
