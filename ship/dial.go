package ship

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// lookupTimeout is enough for the second of two name servers: the resolver
	// waits 5 s for the first.
	lookupTimeout = 15 * time.Second
	// lookupGrace is how long addresses of one family wait for those of the other.
	lookupGrace = time.Second
	// dialShareMin is the least time that each of several addresses gets.
	dialShareMin = time.Second
	// badFor is how long an address that failed is tried last.
	badFor = 10 * time.Minute
)

type (
	dialFunc = func(ctx context.Context, network, address string) (net.Conn, error)
	// lookupFunc is net.Resolver's LookupNetIP, for the networks "ip4" and "ip6".
	lookupFunc = func(ctx context.Context, network, host string) ([]netip.Addr, error)
)

// dialer looks names up and makes connections. It is safe for concurrent use:
// net/http goes on with a dial whose request has given up.
type dialer struct {
	lookup  lookupFunc // nil: names go to connect as they are
	connect dialFunc

	mu   sync.Mutex               // guards all below
	good map[string][]netip.Addr  // what the last look-up of a host and family found
	bad  map[netip.Addr]time.Time // when an address last failed
	last netip.Addr               // of the last connection
}

// newDialer returns a dialer with the system's resolver and network where it is
// given none. With a network of its own it looks nothing up unless it can.
func newDialer(lookup lookupFunc, connect dialFunc) *dialer {
	if connect == nil {
		connect = (&net.Dialer{KeepAlive: pingAfter}).DialContext
		if lookup == nil {
			lookup = net.DefaultResolver.LookupNetIP
		}
	}
	return &dialer{lookup: lookup, connect: connect, good: make(map[string][]netip.Addr), bad: make(map[netip.Addr]time.Time)}
}

// dial makes a connection to a host and port.
func (d *dialer) dial(ctx context.Context, network, address string) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	if _, err := netip.ParseAddr(host); err == nil || d.lookup == nil {
		ctx, cancel := context.WithTimeout(ctx, dialTimeout)
		defer cancel()
		return d.connect(ctx, network, address)
	}
	addresses, err := d.addresses(ctx, host)
	if err != nil {
		return nil, err
	}
	return d.inTurn(ctx, network, addresses, port)
}

// inTurn tries one address after the other, all within the time-out of a dial,
// and returns the first one's error if none works. Where the time is too short
// for all of them, the next dial begins with those that were left.
func (d *dialer) inTurn(ctx context.Context, network string, addresses []netip.Addr, port string) (conn net.Conn, err error) {
	end := time.Now().Add(dialTimeout)
	for i, address := range addresses {
		left := time.Until(end)
		if left <= 0 || ctx.Err() != nil {
			break
		}
		share := min(max(left/time.Duration(len(addresses)-i), dialShareMin), left)
		dialing, cancel := context.WithTimeout(ctx, share)
		conn, failed := d.connect(dialing, network, net.JoinHostPort(address.String(), port))
		cancel()
		if failed == nil {
			d.worked(address)
			return conn, nil
		}
		d.failed(address)
		if err == nil {
			err = failed
		}
	}
	return nil, err
}

func (d *dialer) worked(address netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.bad, address)
	d.last = address
}

func (d *dialer) failed(address netip.Addr) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.bad[address] = time.Now()
}

// blame has another address tried first, if there is one: what was sent to the
// last one got no answer.
func (d *dialer) blame() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.last.IsValid() {
		d.bad[d.last] = time.Now()
	}
}

// addresses returns those of a host in the order in which to try them. Where a
// look-up fails, the last one that did not stands in for it.
func (d *dialer) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	six, four := d.look(ctx, host)
	d.mu.Lock()
	defer d.mu.Unlock()
	// That a host has no address of a family is an answer where it has one of the
	// other, and a failure where it has none at all.
	none := len(six.found) == 0 && len(four.found) == 0
	var families [2][]netip.Addr
	for i, f := range []family{six, four} {
		if len(f.found) > 0 || !none && isNone(f.err) {
			d.good[f.network+host] = f.found
		}
		families[i] = d.good[f.network+host]
	}
	all := alternate(families[0], families[1])
	if len(all) == 0 {
		if isNone(six.err) && four.err != nil {
			return nil, four.err
		}
		return nil, six.err
	}
	return d.order(all), nil
}

// family is the answer to one look-up.
type family struct {
	network string
	found   []netip.Addr
	err     error
}

// look asks for the addresses of both families at once. When one is there the
// other has a second left: a lost answer does not cost the attempt.
func (d *dialer) look(ctx context.Context, host string) (six, four family) {
	ctx, cancel := context.WithTimeout(ctx, lookupTimeout)
	defer cancel()
	var asking sync.WaitGroup
	ask := func(f *family, network string) {
		asking.Go(func() {
			f.network = network
			f.found, f.err = d.lookup(ctx, network, host)
			for i := range f.found {
				f.found[i] = f.found[i].Unmap()
			}
			if len(f.found) > 0 {
				time.AfterFunc(lookupGrace, cancel)
			}
		})
	}
	ask(&six, "ip6")
	ask(&four, "ip4")
	asking.Wait()
	return six, four
}

// isNone reports whether a look-up ended with the answer that there is nothing.
func isNone(err error) bool {
	var dns *net.DNSError
	var none *net.AddrError // of a host that has addresses of the other family only
	return err == nil || errors.As(err, &dns) && dns.IsNotFound || errors.As(err, &none)
}

// alternate takes addresses from the two lists in turns.
func alternate(a, b []netip.Addr) (all []netip.Addr) {
	for i := range max(len(a), len(b)) {
		all = append(all, a[min(i, len(a)):min(i+1, len(a))]...)
		all = append(all, b[min(i, len(b)):min(i+1, len(b))]...)
	}
	return all
}

// order puts addresses that failed of late behind the others. If all of them
// did, that says nothing.
func (d *dialer) order(all []netip.Addr) []netip.Addr {
	var fine, bad []netip.Addr
	for _, address := range all {
		if at, failed := d.bad[address]; failed && time.Since(at) < badFor {
			bad = append(bad, address)
		} else {
			fine = append(fine, address)
		}
	}
	if len(fine) == 0 || len(d.bad) > maxBad {
		clear(d.bad)
	}
	return slices.Concat(fine, bad)
}

// maxBad bounds what is remembered of a host whose addresses change all the time.
const maxBad = 64

// watchedConn tells of every byte that moves.
type watchedConn struct {
	net.Conn
	moved func()
}

func (c watchedConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if n > 0 {
		c.moved()
	}
	return n, err
}

func (c watchedConn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	if n > 0 {
		c.moved()
	}
	return n, err
}
