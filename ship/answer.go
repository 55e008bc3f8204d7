package ship

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"

	"github.com/klauspost/compress/flate"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zlib"
	"github.com/klauspost/compress/zstd"
)

const (
	maxAnswerBytes = 64 << 10
	// maxCodings bounds how often an answer is decoded.
	maxCodings = 4
	// maxZstdBytes is the largest window of a content coding (RFC 9659).
	maxZstdBytes = 8 << 20
)

// answer is what classify judges: all of a response that matters, or the
// error that came instead.
type answer struct {
	status int
	header http.Header
	// body is decoded, and cut off after 64 KiB.
	body []byte
	// unread is why the body could not be decoded; it is empty then.
	unread error
	err    error
	// plain says that the endpoint was spoken to without TLS.
	plain bool
	// asked says that the endpoint asked for a client certificate.
	asked bool
	// secrets are what the request held that must not be repeated.
	secrets secrets
}

// read takes the response. Its body is read to 64 KiB, and decoded to as much:
// a request without Accept-Encoding may be answered in any content coding
// (RFC 9110, section 12.5.3).
func (a *answer) read(response *http.Response) error {
	body, err := io.ReadAll(io.LimitReader(response.Body, maxAnswerBytes))
	if err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	a.status, a.header = response.StatusCode, response.Header
	a.body, a.unread = decoded(body, response.Header.Values("Content-Encoding"))
	return nil
}

// decoded undoes the content codings, the last one first.
func decoded(body []byte, headers []string) ([]byte, error) {
	codings := strings.Split(strings.ToLower(strings.Join(headers, ",")), ",")
	if len(codings) > maxCodings {
		return nil, fmt.Errorf("it has %d content codings", len(codings))
	}
	for _, coding := range slices.Backward(codings) {
		if len(body) == 0 {
			return nil, nil
		}
		plain, err := decode(strings.TrimSpace(coding), body)
		if err != nil && bytes.HasPrefix(body, []byte("{")) {
			continue // it is JSON: the header is wrong, as "utf-8" or a proxy's may be
		}
		// Of a coded body that was cut off, what there is of it is read.
		if err != nil && (len(body) < maxAnswerBytes || len(plain) == 0) {
			return nil, err
		}
		body = plain[:min(len(plain), maxAnswerBytes)]
	}
	return body, nil
}

// decode undoes one content coding.
func decode(coding string, body []byte) (plain []byte, err error) {
	var r io.Reader
	switch coding {
	case "", "identity":
		return body, nil
	case "gzip", "x-gzip":
		r, err = gzip.NewReader(bytes.NewReader(body))
	case "deflate":
		r, err = inflater(body)
	case "zstd":
		return unzstdAnswer(body)
	default:
		err = errors.New("nobody asked for it")
	}
	if err == nil {
		plain, err = io.ReadAll(io.LimitReader(r, maxAnswerBytes))
	}
	if err != nil {
		return plain, fmt.Errorf("content coding %q: %w", coding, err)
	}
	return plain, nil
}

// inflater reads "deflate", which is zlib's format (RFC 9110, section 8.4.1.2),
// though some servers leave that out and send the bare stream.
func inflater(body []byte) (io.Reader, error) {
	if r, err := zlib.NewReader(bytes.NewReader(body)); err == nil {
		return r, nil
	}
	return flate.NewReader(bytes.NewReader(body)), nil
}

// unzstdAnswer decodes into memory that grows with what comes out, and not to
// the window that the frame claims.
func unzstdAnswer(body []byte) ([]byte, error) {
	d, err := zstd.NewReader(nil, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxMemory(maxZstdBytes))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	plain, err := d.DecodeAll(body, nil)
	if len(plain) >= maxAnswerBytes {
		err = nil // cut off
	}
	if err != nil {
		return plain, fmt.Errorf("content coding %q: %w", "zstd", err)
	}
	return plain, nil
}
