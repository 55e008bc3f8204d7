package shiptest

import (
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

// socketBytes is what a connection holds of what its reader has not read.
const socketBytes = 64 << 10

// The ends of a link.
const (
	clientEnd = iota
	serverEnd
)

// link is a connection in memory. Unlike net.Pipe it buffers as sockets do, so
// that a writer whose peer is slow or dead holds no lock of net/http's for
// ever; and every wait is one on a condition, which is durably blocking in a
// synctest bubble.
type link struct {
	mu      sync.Mutex
	changed sync.Cond
	ends    [2]end // guarded by mu, like all below
	silent  bool   // the ends no longer hear each other
	reset   bool
}

// end is what one of the two has: what it may yet read, and how far it may go.
type end struct {
	inbox       []byte
	closed      bool
	cutAt       int // the link is reset in place of the byte that this one is for the peer; 0 is never
	read, write deadline
}

// deadline wakes whoever waits when it passes.
type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d *deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

func (d *deadline) set(at time.Time, wake func()) {
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at, d.timer = at, nil
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), wake)
	}
}

func newLink(f Fault) *link {
	l := &link{}
	l.changed.L = &l.mu
	l.suffer(f)
	return l
}

// suffer brings a fault over the link. Silence and reset are for ever; where
// bytes are counted, the count begins now.
func (l *link) suffer(f Fault) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.silent = l.silent || f.Silent
	l.reset = l.reset || f.Refuse
	l.ends[clientEnd].cutAt, l.ends[serverEnd].cutAt = f.CutRequest, f.CutAnswer
	l.changed.Broadcast()
}

func (l *link) read(self int, p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	me, peer := &l.ends[self], &l.ends[1-self]
	for {
		switch {
		case me.closed:
			return 0, net.ErrClosed
		case me.read.passed():
			return 0, os.ErrDeadlineExceeded
		case len(me.inbox) > 0:
			n := copy(p, me.inbox)
			me.inbox = me.inbox[n:]
			l.changed.Broadcast()
			return n, nil
		case l.reset:
			return 0, os.NewSyscallError("read", syscall.ECONNRESET)
		case peer.closed && !l.silent:
			return 0, io.EOF
		}
		l.changed.Wait()
	}
}

func (l *link) write(self int, p []byte) (written int, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	me, peer := &l.ends[self], &l.ends[1-self]
	for {
		switch {
		case me.closed:
			return written, net.ErrClosed
		case len(p) == 0:
			return written, nil
		case me.write.passed():
			return written, os.ErrDeadlineExceeded
		case l.reset, peer.closed && !l.silent:
			return written, os.NewSyscallError("write", syscall.ECONNRESET)
		case l.silent:
			return written + len(p), nil
		}
		n := min(len(p), socketBytes-len(peer.inbox))
		if me.cutAt > 0 {
			n = min(n, me.cutAt-1)
			me.cutAt -= n
			l.reset = me.cutAt == 1
		}
		peer.inbox = append(peer.inbox, p[:n]...)
		p, written = p[n:], written+n
		l.changed.Broadcast()
		if n == 0 && !l.reset {
			l.changed.Wait()
		}
	}
}

func (l *link) close(self int) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	me := &l.ends[self]
	if me.closed {
		return net.ErrClosed
	}
	me.closed = true
	me.read.set(time.Time{}, nil)
	me.write.set(time.Time{}, nil)
	l.changed.Broadcast()
	return nil
}

// gone reports whether no end uses the link any more.
func (l *link) gone() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.ends[clientEnd].closed && l.ends[serverEnd].closed
}

// wake is for timers. Taking mu keeps it from passing between a waiter's look
// at the clock and its wait.
func (l *link) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.changed.Broadcast()
}

// conn is one end's net.Conn.
type conn struct {
	*link
	self          int
	local, remote address
}

// address is a net.Addr of the network in memory.
type address string

func (address) Network() string  { return "tcp" }
func (a address) String() string { return string(a) }

func (c *conn) Read(p []byte) (int, error) {
	n, err := c.read(c.self, p)
	return n, c.describe("read", err)
}

func (c *conn) Write(p []byte) (int, error) {
	n, err := c.write(c.self, p)
	return n, c.describe("write", err)
}

func (c *conn) describe(op string, err error) error {
	if err == nil || err == io.EOF { //nolint:errorlint // as net.Conn returns it, never wrapped
		return err
	}
	return &net.OpError{Op: op, Net: "tcp", Source: c.local, Addr: c.remote, Err: err}
}

func (c *conn) Close() error { return c.describe("close", c.close(c.self)) }

func (c *conn) LocalAddr() net.Addr  { return c.local }
func (c *conn) RemoteAddr() net.Addr { return c.remote }

func (c *conn) SetDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.ends[c.self].read, &c.ends[c.self].write)
}

func (c *conn) SetReadDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.ends[c.self].read)
}

func (c *conn) SetWriteDeadline(t time.Time) error {
	return c.setDeadlines(t, &c.ends[c.self].write)
}

func (c *conn) setDeadlines(at time.Time, deadlines ...*deadline) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.ends[c.self].closed {
		return c.describe("set", net.ErrClosed)
	}
	for _, d := range deadlines {
		d.set(at, c.wake)
	}
	c.changed.Broadcast()
	return nil
}
