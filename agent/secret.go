package agent

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"sync"
	"unicode"
)

// redacted stands for every secret in every output.
const redacted = "[redacted]"

// Secret is a text that no formatting verb, encoder or log line prints. The
// zero Secret holds nothing and prints as the empty string.
type Secret struct {
	// A pointer, because fmt reaches into unexported fields of an enclosing
	// struct without calling their methods; it prints an address then.
	text *string
}

// NewSecret returns a Secret that holds text; the empty text is the zero Secret.
func NewSecret(text string) Secret {
	if text == "" {
		return Secret{}
	}
	return Secret{text: &text}
}

// IsZero reports whether the secret holds nothing.
func (s Secret) IsZero() bool { return s.text == nil }

// Reveal returns the text itself. It is the only way to it.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// String returns "[redacted]", or the empty string for the zero Secret.
func (s Secret) String() string {
	if s.text == nil {
		return ""
	}
	return redacted
}

// GoString is String, for the verb %#v.
func (s Secret) GoString() string { return s.String() }

// Format implements fmt.Formatter, for every verb there is.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, s.String()) }

// MarshalText implements encoding.TextMarshaler; encoding/json, zerolog and
// flag use it too.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// MarshalJSON implements json.Marshaler.
func (s Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + s.String() + `"`), nil }

// SecretSource hands out a secret that was given as a value, or the contents
// of a file that may change while the agent runs. It is safe for concurrent
// use. A nil *SecretSource is a secret that nobody set.
type SecretSource struct {
	path string

	mu    sync.Mutex
	value Secret      // guarded by mu once the source is shared
	seen  fs.FileInfo // the file as last read, well or not; guarded by mu
	err   error       // how that went; guarded by mu
}

// NewSecretValue returns a source that always yields value.
func NewSecretValue(value Secret) *SecretSource { return &SecretSource{value: value} }

// NewSecretFile returns a source that reads path at the first Get.
func NewSecretFile(path string) *SecretSource { return &SecretSource{path: path} }

// IsSet reports whether there is a secret at all.
func (s *SecretSource) IsSet() bool { return s != nil }

// Get returns the secret. A file is read again when its modification time,
// size or identity has changed: one stat a call. A file that cannot be read, or
// holds nothing usable, is an error, which never repeats what it holds.
func (s *SecretSource) Get() (string, error) { return s.get(false) }

// Reload is Get that reads the file whether it seems changed or not: for a
// server that just refused the secret.
func (s *SecretSource) Reload() (string, error) { return s.get(true) }

// Changed reports whether the file differs from what Get last read: one stat.
// It is false before the first Get, for a file that is gone, and for a value.
func (s *SecretSource) Changed() bool {
	if s == nil || s.path == "" {
		return false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now, err := os.Stat(s.path)
	return err == nil && s.seen != nil && !sameFile(s.seen, now)
}

// String returns "[redacted]", or the empty string for nil.
func (s *SecretSource) String() string {
	if s == nil {
		return ""
	}
	return redacted
}

func (s *SecretSource) get(force bool) (string, error) {
	if s == nil {
		return "", nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.path == "" {
		return s.value.Reveal(), nil
	}
	now, err := os.Stat(s.path)
	if err != nil {
		return "", withoutPath(err)
	}
	// A failure is tried again each time: a change of mode leaves no trace in seen.
	if force || s.err != nil || !sameFile(s.seen, now) {
		var text string
		text, s.err = readSecretFile(s.path)
		s.value, s.seen = NewSecret(text), now
	}
	return s.value.Reveal(), s.err
}

func sameFile(a, b fs.FileInfo) bool {
	return a != nil && os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func readSecretFile(path string) (string, error) {
	content, err := readSmallFile(path)
	if err != nil {
		return "", err
	}
	text := strings.Trim(string(content), "\r\n")
	if strings.TrimSpace(text) == "" {
		return "", errors.New("the file is empty")
	}
	if err := checkSecret(text); err != nil {
		return "", err
	}
	return text, nil
}

// checkSecret refuses what could not travel in a header.
func checkSecret(text string) error {
	if strings.ContainsFunc(text, unicode.IsControl) {
		return errors.New("holds a control character or a line break")
	}
	return nil
}
