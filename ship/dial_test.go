package ship_test

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship"
	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// reply is what a resolver has to say of one family of addresses.
type reply struct {
	after time.Duration
	found []string
	err   error
}

var (
	lost   = reply{after: time.Hour}
	noHost = reply{err: &net.DNSError{Err: "no such host", Name: ingestHost, IsNotFound: true}}
	broken = reply{err: &net.DNSError{Err: "server misbehaving", Name: ingestHost, IsTemporary: true}}
)

func finds(addresses ...string) reply { return reply{found: addresses} }

func (r reply) in(d time.Duration) reply { r.after = d; return r }

// names is a resolver and, by its addresses, a network.
type names struct {
	six, four reply
	hanging   map[string]bool // addresses that answer no dial
	dialed    []string
}

func (n *names) lookup(ctx context.Context, network, host string) ([]netip.Addr, error) {
	r := map[string]reply{"ip6": n.six, "ip4": n.four}[network]
	select {
	case <-time.After(r.after):
	case <-ctx.Done():
		return nil, &net.DNSError{Err: "i/o timeout", Name: host, IsTimeout: true}
	}
	var found []netip.Addr
	for _, text := range r.found {
		found = append(found, netip.MustParseAddr(text))
	}
	return found, r.err
}

// client returns a client whose endpoint is found by these names. Only
// connections to 192.0.2.1 and 2001:db8::1 are served.
func (n *names) client(t *testing.T, closes bool) *ship.Client {
	t.Helper()
	network := shiptest.NewNetwork()
	for _, at := range []string{"192.0.2.1:80", "[2001:db8::1]:80"} {
		listener, err := network.Listen(at)
		if err != nil {
			t.Fatal(err)
		}
		server := shiptest.Serve(listener, shiptest.ServerConfig{HTTP1Only: true, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if closes {
				w.Header().Set("Connection", "close")
			}
			acknowledges(w, r)
		})})
		t.Cleanup(server.Close)
	}
	cfg := clientConfig(parse(t, "http://"+ingestHost+"/v1/batches"))
	cfg.Timeout = 30 * time.Second
	cfg.LookupNetIP = n.lookup
	cfg.DialContext = func(ctx context.Context, over, address string) (net.Conn, error) {
		host, _, _ := net.SplitHostPort(address)
		n.dialed = append(n.dialed, host)
		if n.hanging[host] {
			<-ctx.Done()
			return nil, &net.OpError{Op: "dial", Err: ctx.Err()}
		}
		return network.DialContext(ctx, over, address)
	}
	client, err := ship.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// A look-up has a time of its own, which is enough for a second name server; an
// answer that is lost, or says that there is nothing, costs no attempt where the
// other family has addresses.
func TestALookUpHasItsOwnTime(t *testing.T) {
	const v4, v6 = "192.0.2.1", "2001:db8::1"
	for name, c := range map[string]struct {
		names
		took  time.Duration
		to    string // "" if nothing is found
		cause string
	}{
		"at once":                        {names{six: finds(v6), four: finds(v4)}, 0, v6, ""},
		"IPv4 only":                      {names{six: noHost, four: finds(v4)}, 0, v4, ""},
		"IPv6 only":                      {names{six: finds(v6), four: noHost}, 0, v6, ""},
		"the second name server":         {names{six: noHost.in(5 * time.Second), four: finds(v4).in(5 * time.Second)}, 5 * time.Second, v4, ""},
		"the third":                      {names{six: noHost.in(10 * time.Second), four: finds(v4).in(10 * time.Second)}, 10 * time.Second, v4, ""},
		"AAAA lost":                      {names{six: lost, four: finds(v4)}, time.Second, v4, ""},
		"A lost":                         {names{six: finds(v6), four: lost}, time.Second, v6, ""},
		"AAAA lost, late":                {names{six: lost, four: finds(v4).in(14 * time.Second)}, 15 * time.Second, v4, ""},
		"AAAA fails":                     {names{six: broken, four: finds(v4)}, 0, v4, ""},
		"AAAA a little later":            {names{six: finds(v6).in(time.Second / 2), four: finds(v4)}, time.Second / 2, v6, ""},
		"no such host":                   {names{six: noHost, four: noHost}, 0, "", "cannot resolve " + ingestHost},
		"nobody answers":                 {names{six: lost, four: lost}, 15 * time.Second, "", "cannot resolve " + ingestHost},
		"nothing of one, the other lost": {names{six: noHost, four: lost}, 15 * time.Second, "", "cannot resolve " + ingestHost},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := c.client(t, false)
			began := time.Now()
			o := client.Send(t.Context(), payload())
			if took := time.Since(began); took != c.took {
				t.Errorf("%s: took %v, want %v", name, took, c.took)
			}
			if got := strings.Join(c.dialed, " "); got != c.to || (o.Verdict == ship.Acked) != (c.to != "") || !strings.Contains(o.Cause, c.cause) {
				t.Errorf("%s: %+v after dialing %q, want %q and cause %q", name, o, got, c.to, c.cause)
			}
			if c.to == "" && !o.NoConnection {
				t.Errorf("%s: %+v, want it known that nothing was sent", name, o)
			}
		})
	}
}

// While look-ups fail, the addresses of the last one that did not serve; of each
// family by itself.
func TestTheLastGoodAddressesServe(t *testing.T) {
	const v4, v6 = "192.0.2.1", "2001:db8::1"
	for name, c := range map[string]struct {
		before, after names
		want          string
	}{
		"both lost":              {names{six: noHost, four: finds(v4)}, names{six: lost, four: lost}, v4},
		"both fail":              {names{six: noHost, four: finds(v4)}, names{six: broken, four: broken}, v4},
		"no such host any more":  {names{six: noHost, four: finds(v4)}, names{six: noHost, four: noHost}, v4},
		"one family, other lost": {names{six: finds(v6), four: noHost}, names{six: lost, four: noHost}, v6},
		"one is gone for good":   {names{six: finds(v6), four: finds(v4)}, names{six: noHost, four: finds(v4)}, v4},
		"one is lost":            {names{six: finds(v6), four: finds(v4)}, names{six: lost, four: finds(v4)}, v6},
		"it moved":               {names{six: noHost, four: finds("192.0.2.9", v4)}, names{six: noHost, four: finds(v4)}, v4},
	} {
		synctest.Test(t, func(t *testing.T) {
			client := c.before.client(t, true)
			if o := client.Send(t.Context(), payload()); o.Verdict != ship.Acked {
				t.Fatalf("%s, before: %+v", name, o)
			}
			c.before.six, c.before.four, c.before.dialed = c.after.six, c.after.four, nil
			for range 3 {
				if o := client.Send(t.Context(), payload()); o.Verdict != ship.Acked {
					t.Errorf("%s: %+v", name, o)
				}
			}
			if got := strings.Join(c.before.dialed, " "); got != strings.Join([]string{c.want, c.want, c.want}, " ") {
				t.Errorf("%s: dialed %s, want %s each time", name, got, c.want)
			}
		})
	}
}

// Several addresses are tried in turn, in the time of one dial. What works is
// known the next time; what there was no time for comes first then.
func TestSeveralAddressesAreTriedInTurn(t *testing.T) {
	const good = "192.0.2.1"
	dead := []string{"192.0.2.11", "192.0.2.12", "192.0.2.13", "192.0.2.14", "192.0.2.15", "192.0.2.16", "192.0.2.17", "192.0.2.18"}
	hanging := map[string]bool{"2001:db8::dead": true}
	for _, d := range dead {
		hanging[d] = true
	}
	for name, c := range map[string]struct {
		names
		attempts int // until one succeeds
	}{
		"the first refuses":           {names{six: noHost, four: finds("192.0.2.99", good)}, 1},
		"the first hangs":             {names{six: noHost, four: finds(dead[0], good)}, 1},
		"IPv6 hangs":                  {names{six: finds("2001:db8::dead"), four: finds(good)}, 1},
		"three hang":                  {names{six: noHost, four: finds(append(dead[:3:3], good)...)}, 1},
		"more than there is time for": {names{six: noHost, four: finds(append(dead[:8:8], good)...)}, 2},
	} {
		synctest.Test(t, func(t *testing.T) {
			c.hanging = hanging
			client := c.client(t, true)
			for attempt := 1; attempt <= c.attempts; attempt++ {
				began := time.Now()
				o := client.Send(t.Context(), payload())
				if want := attempt == c.attempts; (o.Verdict == ship.Acked) != want || time.Since(began) > 5*time.Second {
					t.Fatalf("%s, attempt %d: %+v after %v, dialed %v", name, attempt, o, time.Since(began), c.dialed)
				}
			}
			c.dialed = nil
			if o := client.Send(t.Context(), payload()); o.Verdict != ship.Acked || len(c.dialed) != 1 {
				t.Errorf("%s, the next time: %+v, dialed %v", name, o, c.dialed)
			}
		})
	}
}

// An address that takes connections and answers nothing is not tried first again.
func TestAnAddressThatGivesNoAnswerIsTriedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := &names{six: noHost, four: finds("192.0.2.50", "192.0.2.1")}
		network := shiptest.NewNetwork()
		ingest := shiptest.NewIngest()
		ingest.Behave(shiptest.Silent())
		for at, handler := range map[string]http.Handler{"192.0.2.50:80": ingest, "192.0.2.1:80": http.HandlerFunc(acknowledges)} {
			listener, err := network.Listen(at)
			if err != nil {
				t.Fatal(err)
			}
			server := shiptest.Serve(listener, shiptest.ServerConfig{HTTP1Only: true, Handler: handler})
			defer server.Close()
		}
		cfg := clientConfig(parse(t, "http://"+ingestHost+"/"))
		cfg.Timeout, cfg.LookupNetIP, cfg.DialContext = 30*time.Second, n.lookup, network.DialContext
		client, err := ship.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		for i, want := range []ship.Verdict{ship.Retry, ship.Acked, ship.Acked} {
			if o := client.Send(t.Context(), payload()); o.Verdict != want {
				t.Errorf("request %d: %+v, want verdict %v", i, o, want)
			}
		}
	})
}
