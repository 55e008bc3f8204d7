package ship

import (
	"bytes"
	"fmt"
	"io"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"
)

// Compression names a Content-Encoding.
type Compression string

// The compressions of HEKA_COMPRESSION.
const (
	CompressionNone Compression = "none"
	CompressionGzip Compression = "gzip"
	CompressionZstd Compression = "zstd"
)

// compressor compresses bodies one at a time. Gzip is stateless: on these
// bodies it is as fast and as small as level 1, and it holds no memory between
// two of them, where level 1 holds 0.7 MB.
type compressor struct {
	kind Compression
	buf  bytes.Buffer
	gzip *gzip.Writer
	zstd *zstd.Encoder
}

func newCompressor(kind Compression) (*compressor, error) {
	c := &compressor{kind: kind}
	var err error
	switch kind {
	case CompressionNone:
	case CompressionGzip:
		c.gzip, err = gzip.NewWriterLevel(io.Discard, gzip.StatelessCompression)
	case CompressionZstd:
		c.zstd, err = zstd.NewWriter(nil, zstd.WithEncoderConcurrency(1),
			zstd.WithEncoderLevel(zstd.SpeedFastest), zstd.WithLowerEncoderMem(true))
	default:
		err = fmt.Errorf("unknown compression %q", kind)
	}
	return c, err
}

// compress returns body compressed, in memory of its own.
func (c *compressor) compress(body []byte) ([]byte, error) {
	switch c.kind {
	case CompressionGzip:
		c.buf.Reset()
		c.gzip.Reset(&c.buf)
		if _, err := c.gzip.Write(body); err != nil {
			return nil, err
		}
		if err := c.gzip.Close(); err != nil {
			return nil, err
		}
		return bytes.Clone(c.buf.Bytes()), nil
	case CompressionZstd:
		return c.zstd.EncodeAll(body, nil), nil
	default:
		return bytes.Clone(body), nil
	}
}

// Compress returns a plain body compressed, in memory of its own.
func Compress(kind Compression, body []byte) ([]byte, error) {
	c, err := newCompressor(kind)
	if err != nil {
		return nil, err
	}
	return c.compress(body)
}

// CompressionOf tells how a native body is compressed by its first bytes, so
// that nothing beside the body has to be kept: HEKA_COMPRESSION may change
// over a spool with data.
func CompressionOf(body []byte) Compression {
	switch {
	case bytes.HasPrefix(body, []byte{0x1f, 0x8b}): // RFC 1952, section 2.3.1
		return CompressionGzip
	case bytes.HasPrefix(body, []byte{0x28, 0xb5, 0x2f, 0xfd}): // RFC 8878, section 3.1.1
		return CompressionZstd
	default:
		return CompressionNone
	}
}
