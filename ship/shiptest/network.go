package shiptest

import (
	"context"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"
)

// Fault is what is wrong with a Network. The zero value is nothing.
type Fault struct {
	// Refuse: nothing listens. Connections that exist are reset.
	Refuse bool
	// Silent: packets vanish. A dial waits until its context ends, and who has
	// a connection hears nothing more, neither data nor its end. Those
	// connections stay dead when the fault is cleared, as if the peer had been
	// replaced meanwhile.
	Silent bool
	// CutRequest resets a connection in place of the byte of this number, from
	// 1, that its client sends, counted from when the fault was set or, on
	// later connections, from the first; 0 is never. The bytes before it
	// arrive. Over TLS the handshake's count too.
	CutRequest int
	// CutAnswer does the same with bytes that the server sends.
	CutAnswer int
}

// Network is a network in memory, in which hosts have any name. Safe for
// concurrent use. In a synctest bubble everything that waits for it is durably
// blocked, so make, use and leave it within one bubble.
type Network struct {
	mu        sync.Mutex
	fault     Fault // guarded by mu, like all below
	listeners map[string]*listener
	links     []*link
	dials     int
}

// NewNetwork returns a network without a fault or a listener.
func NewNetwork() *Network { return &Network{listeners: make(map[string]*listener)} }

// Listen returns a listener for connections to an address such as
// "ingest.example:443". It fails when the address has one already. Close it.
func (n *Network) Listen(at string) (net.Listener, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.listeners[at] != nil {
		return nil, &net.OpError{Op: "listen", Net: "tcp", Addr: address(at), Err: os.NewSyscallError("bind", syscall.EADDRINUSE)}
	}
	l := &listener{network: n, at: address(at), queue: make(chan *conn, 16), closed: make(chan struct{})}
	n.listeners[at] = l
	return l, nil
}

// DialContext connects to a listener by its address; the name of the network
// does not matter. Where nothing listens the connection is refused. It is
// meant for ship.ClientConfig and http.Transport.
func (n *Network) DialContext(ctx context.Context, _, to string) (net.Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	l, client := n.connect(to)
	if client == nil {
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(to), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	}
	if l == nil {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(to), Err: ctx.Err()}
	}
	server := &conn{link: client.link, self: serverEnd, local: client.remote, remote: client.local}
	select {
	case l.queue <- server:
		select {
		case <-l.closed: // too late for Close to have seen it
			client.suffer(Fault{Refuse: true})
		default:
		}
		return client, nil
	case <-l.closed:
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(to), Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
	case <-ctx.Done():
		return nil, &net.OpError{Op: "dial", Net: "tcp", Addr: address(to), Err: ctx.Err()}
	}
}

// connect returns a new connection and the listener to hand its other end to;
// no connection when it is refused, no listener when there is only silence.
func (n *Network) connect(to string) (*listener, *conn) {
	n.mu.Lock()
	defer n.mu.Unlock()
	l := n.listeners[to]
	if n.fault.Refuse || l == nil && !n.fault.Silent {
		return nil, nil
	}
	n.dials++
	client := &conn{link: newLink(n.fault), self: clientEnd, local: address(fmt.Sprintf("client:%d", n.dials)), remote: address(to)}
	if n.fault.Silent {
		return nil, client
	}
	n.links = slices.DeleteFunc(n.links, (*link).gone)
	n.links = append(n.links, client.link)
	return l, client
}

// Suffer sets the fault of the network, of connections that exist and of all
// to come; Fault{} clears it.
func (n *Network) Suffer(f Fault) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.fault = f
	for _, l := range n.links {
		l.suffer(f)
	}
}

// Open counts the connections that both ends, or one of them, still hold.
func (n *Network) Open() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.links = slices.DeleteFunc(n.links, (*link).gone)
	return len(n.links)
}

type listener struct {
	network *Network
	at      address
	queue   chan *conn
	closed  chan struct{} // closed under network.mu
}

func (l *listener) Accept() (net.Conn, error) {
	select {
	case <-l.closed:
		return nil, &net.OpError{Op: "accept", Net: "tcp", Addr: l.at, Err: net.ErrClosed}
	case c := <-l.queue:
		return c, nil
	}
}

func (l *listener) Addr() net.Addr { return l.at }

// Close refuses whoever connected and was not accepted yet.
func (l *listener) Close() error {
	l.network.mu.Lock()
	defer l.network.mu.Unlock()
	if l.network.listeners[string(l.at)] != l {
		return &net.OpError{Op: "close", Net: "tcp", Addr: l.at, Err: net.ErrClosed}
	}
	delete(l.network.listeners, string(l.at))
	close(l.closed)
	for {
		select {
		case c := <-l.queue:
			c.suffer(Fault{Refuse: true})
			_ = c.Close()
		default:
			return nil
		}
	}
}
