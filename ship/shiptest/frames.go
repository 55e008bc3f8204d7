package shiptest

import (
	"encoding/binary"
	"io"
	"net"
)

// HTTP/2 error codes, RFC 9113 section 7.
const (
	NoError         uint32 = 0x0
	InternalError   uint32 = 0x2
	RefusedStream   uint32 = 0x7
	EnhanceYourCalm uint32 = 0xb
)

// Frames of HTTP/2, RFC 9113 section 6.
const (
	frameHeaders  = 0x1
	frameReset    = 0x3
	frameSettings = 0x4
	framePing     = 0x6
	frameGoAway   = 0x7

	flagAck              = 0x1
	maxConcurrentStreams = 0x3 // a setting

	frameHeaderBytes = 9
	prefaceBytes     = 24
)

// GoAway is for Server.Misframe: it answers the first request of an HTTP/2
// connection with a GOAWAY frame that says it was not looked at, for the reason
// code, and closes the connection.
func GoAway(code uint32) func(net.Conn) {
	return func(c net.Conn) {
		serveFrames(c, nil, func(uint32) bool {
			payload := binary.BigEndian.AppendUint32(make([]byte, 4), code) // of streams, the last one seen is 0
			writeFrame(c, frameGoAway, 0, 0, payload)
			return false
		})
	}
}

// ResetStream is for Server.Misframe: it answers each request of an HTTP/2
// connection with RST_STREAM, for the reason code.
func ResetStream(code uint32) func(net.Conn) {
	return func(c net.Conn) {
		serveFrames(c, nil, func(stream uint32) bool {
			writeFrame(c, frameReset, 0, stream, binary.BigEndian.AppendUint32(nil, code))
			return true
		})
	}
}

// NoStreams is for Server.Misframe: an HTTP/2 connection that allows no
// request at all, while it answers pings.
func NoStreams(c net.Conn) {
	setting := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint16(nil, maxConcurrentStreams), 0)
	serveFrames(c, setting, func(uint32) bool { return true })
}

// Mute is for Server.Misframe: it reads everything and says nothing.
func Mute(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

// serveFrames plays a server that acknowledges settings and answers pings. It
// calls request for the stream of each request, and ends when that returns
// false or the connection ends.
func serveFrames(c net.Conn, settings []byte, request func(stream uint32) bool) {
	writeFrame(c, frameSettings, 0, 0, settings)
	if _, err := io.CopyN(io.Discard, c, prefaceBytes); err != nil {
		return
	}
	for {
		var head [frameHeaderBytes]byte
		if _, err := io.ReadFull(c, head[:]); err != nil {
			return
		}
		payload := make([]byte, int(head[0])<<16|int(head[1])<<8|int(head[2]))
		if _, err := io.ReadFull(c, payload); err != nil {
			return
		}
		switch kind, flags := head[3], head[4]; {
		case kind == frameSettings && flags&flagAck == 0:
			writeFrame(c, frameSettings, flagAck, 0, nil)
		case kind == framePing && flags&flagAck == 0:
			writeFrame(c, framePing, flagAck, 0, payload)
		case kind == frameHeaders && !request(binary.BigEndian.Uint32(head[5:])):
			return
		}
	}
}

// writeFrame leaves errors to the next read, which fails too.
func writeFrame(c net.Conn, kind, flags byte, stream uint32, payload []byte) {
	n := len(payload)
	frame := append(make([]byte, 0, frameHeaderBytes+n), byte(n>>16), byte(n>>8), byte(n), kind, flags)
	frame = binary.BigEndian.AppendUint32(frame, stream)
	_, _ = c.Write(append(frame, payload...))
}
