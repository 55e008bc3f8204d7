package server

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/klauspost/compress/zstd"
)

// zstdWindow is the largest window that the content encoding zstd allows (RFC
// 9659). A decoder may hold that much outside of the budget.
const zstdWindow = 8 << 20

// budget limits the bytes that all requests hold together.
type budget struct {
	mu   sync.Mutex
	left int64 // guarded by mu
}

// charge is one request's share of a budget. It is not safe for concurrent use.
type charge struct {
	budget *budget
	taken  int64
}

var errBusy = &refusal{status: http.StatusTooManyRequests, reason: "overloaded: too many bytes are waiting"}

func (c *charge) take(n int64) error {
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	if n > c.budget.left {
		return errBusy
	}
	c.budget.left -= n
	c.taken += n
	return nil
}

func (c *charge) release() {
	c.budget.mu.Lock()
	defer c.budget.mu.Unlock()
	c.budget.left += c.taken
	c.taken = 0
}

// chargedReader charges what it reads. It fails with a refusal at the limit, or
// when the budget is used up, so no buffer behind it grows further.
type chargedReader struct {
	r      io.Reader
	charge *charge
	left   int64
	what   string
}

func (r *chargedReader) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if r.left -= int64(n); r.left < 0 {
		return 0, &refusal{status: http.StatusRequestEntityTooLarge, reason: r.what + " too large"}
	}
	if chargeErr := r.charge.take(int64(n)); chargeErr != nil {
		return 0, chargeErr
	}
	return n, err
}

func readAll(r io.Reader, c *charge, limit int64, what string) ([]byte, error) {
	return io.ReadAll(&chargedReader{r: r, charge: c, left: limit, what: what})
}

// readSent reads the body as sent, without decompressing it.
func readSent(r *http.Request, c *charge, limit int64) ([]byte, error) {
	if r.ContentLength > limit {
		return nil, &refusal{status: http.StatusRequestEntityTooLarge, reason: "body too large"}
	}
	sent, err := readAll(r.Body, c, limit, "body")
	var refused *refusal
	if err != nil && !errors.As(err, &refused) {
		// The connection failed. The answer must not suggest that the batch is
		// malformed.
		return nil, &refusal{status: http.StatusRequestTimeout, reason: "body was cut off or too slow"}
	}
	return sent, err
}

// inflater decompresses a body.
type inflater func(sent []byte, c *charge, limit int64) ([]byte, error)

func inflaterFor(encoding string) (inflater, error) {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "", "identity":
		return func(sent []byte, _ *charge, _ int64) ([]byte, error) { return sent, nil }, nil
	case "gzip":
		return inflateGzip, nil
	case "zstd":
		return inflateZstd, nil
	default:
		return nil, &refusal{
			status: http.StatusUnsupportedMediaType,
			reason: fmt.Sprintf("content encoding %.32q: want gzip, zstd or identity", encoding),
		}
	}
}

func inflateGzip(sent []byte, c *charge, limit int64) ([]byte, error) {
	r, err := gzip.NewReader(bytes.NewReader(sent))
	if err != nil {
		return nil, damaged("gzip", err)
	}
	plain, err := readAll(r, c, limit, "inflated body")
	return plain, damaged("gzip", err)
}

func inflateZstd(sent []byte, c *charge, limit int64) ([]byte, error) {
	r, err := zstd.NewReader(bytes.NewReader(sent),
		zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(zstdWindow))
	if err != nil {
		return nil, damaged("zstd", err)
	}
	defer r.Close()
	plain, err := readAll(r, c, limit, "inflated body")
	if errors.Is(err, zstd.ErrWindowSizeExceeded) {
		return nil, &refusal{status: http.StatusUnsupportedMediaType, reason: "zstd: want a window of 8 MiB at most"}
	}
	return plain, damaged("zstd", err)
}

// damaged turns a decompressor's error into a 400. It returns refusals
// unchanged.
func damaged(encoding string, err error) error {
	var refused *refusal
	if err == nil || errors.As(err, &refused) {
		return err
	}
	return &refusal{status: http.StatusBadRequest, reason: fmt.Sprintf("body: damaged %s: %v", encoding, err)}
}
