package server

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"
)

// Keys holds the API keys of a file with one key per line. Empty lines and
// lines that begin with # are ignored. Several keys allow agents to change over
// one by one. Keys is safe for concurrent use.
type Keys struct {
	path string

	mu       sync.Mutex
	hashes   [][sha256.Size]byte // guarded by mu, like modified
	modified time.Time
}

// OpenKeys reads the keys. A file without keys is an error.
func OpenKeys(path string) (*Keys, error) {
	k := &Keys{path: path}
	return k, k.reload()
}

// Admit reports whether key is one of the keys. It re-reads the file if it has
// changed. If the file is unusable, Admit keeps the previous keys.
func (k *Keys) Admit(key string) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	_ = k.reload() // on error the previous keys stay
	// All hashes have the same length and every key is compared, so the time
	// that this takes reveals nothing about the keys.
	given := sha256.Sum256([]byte(key))
	found := 0
	for _, hash := range k.hashes {
		found |= subtle.ConstantTimeCompare(given[:], hash[:])
	}
	return found == 1
}

// reload reads the file if it has changed. k.mu must be held, unless k is not
// shared yet.
func (k *Keys) reload() error {
	info, err := os.Stat(k.path)
	if err != nil {
		return fmt.Errorf("read API keys: %w", err)
	}
	if info.ModTime().Equal(k.modified) {
		return nil
	}
	text, err := os.ReadFile(k.path)
	if err != nil {
		return fmt.Errorf("read API keys: %w", err)
	}
	var hashes [][sha256.Size]byte
	lines := bufio.NewScanner(bytes.NewReader(text))
	for lines.Scan() {
		if key := bytes.TrimSpace(lines.Bytes()); len(key) > 0 && key[0] != '#' {
			hashes = append(hashes, sha256.Sum256(key))
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("read API keys: %w", err)
	}
	if len(hashes) == 0 {
		return fmt.Errorf("read API keys: no key in %s", k.path)
	}
	k.hashes, k.modified = hashes, info.ModTime()
	return nil
}

// authorized wraps a handler so that it only serves requests with a known key.
func (s *Server) authorized(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.cfg.Keys != nil && !s.cfg.Keys.Admit(r.Header.Get("X-Api-Key")) {
			s.refuse(w, r, &refusal{status: http.StatusUnauthorized, reason: "x-api-key is missing or wrong"})
			return
		}
		next(w, r)
	}
}
