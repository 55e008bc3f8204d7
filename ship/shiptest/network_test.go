package shiptest_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/heka-insights/heka-insights-agent/ship/shiptest"
)

// connect returns the two ends of a connection.
func connect(t *testing.T, n *shiptest.Network) (client, server net.Conn) {
	t.Helper()
	listener, err := n.Listen("host:1")
	if err != nil {
		t.Fatal(err)
	}
	if client, err = n.DialContext(t.Context(), "tcp", "host:1"); err != nil {
		t.Fatal(err)
	}
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close(); server.Close(); listener.Close() })
	return client, server
}

// Waiting in the network does not keep the clock of a bubble from moving.
func TestWaitsAreDurable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, _ := connect(t, shiptest.NewNetwork())
		_ = client.SetReadDeadline(time.Now().Add(time.Hour))
		began := time.Now()
		_, err := client.Read(make([]byte, 1))
		if took := time.Since(began); took != time.Hour || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read = %v after %v, want a time-out after an hour", err, took)
		}
		_ = client.SetWriteDeadline(time.Now().Add(time.Hour))
		n, err := client.Write(make([]byte, 1<<20))
		if n >= 1<<20 || n == 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Write = %d, %v; want what a socket holds, and a time-out", n, err)
		}
	})
}

func TestBytesArriveInOrderAndThenTheEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		client, server := connect(t, shiptest.NewNetwork())
		sent := bytes.Repeat([]byte("0123456789"), 50_000)
		go func() {
			_, _ = client.Write(sent)
			client.Close()
		}()
		got, err := io.ReadAll(server)
		if err != nil || !bytes.Equal(got, sent) {
			t.Errorf("%d bytes and %v, want %d and the end", len(got), err, len(sent))
		}
	})
}

func TestResetInPlaceOfAByte(t *testing.T) {
	for k := 1; k < 12; k++ {
		synctest.Test(t, func(t *testing.T) {
			network := shiptest.NewNetwork()
			client, server := connect(t, network)
			network.Suffer(shiptest.Fault{CutRequest: k})
			_, _ = client.Write([]byte("12345"))
			_, err := client.Write([]byte("67890"))
			if refused := errors.Is(err, syscall.ECONNRESET); refused != (k <= 10) {
				t.Errorf("cut at %d: Write = %v", k, err)
			}
			client.Close()
			got, _ := io.ReadAll(server)
			if want := "1234567890"[:min(k-1, 10)]; string(got) != want {
				t.Errorf("cut at %d: %q arrived, want %q", k, got, want)
			}
		})
	}
}

func TestSilenceOutlivesItsFault(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := shiptest.NewNetwork()
		client, server := connect(t, network)
		network.Suffer(shiptest.Fault{Silent: true})
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if _, err := network.DialContext(ctx, "tcp", "host:1"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a dial into silence: %v, want its time-out", err)
		}
		network.Suffer(shiptest.Fault{})
		if _, err := client.Write(make([]byte, 1<<20)); err != nil {
			t.Errorf("a write into silence: %v", err)
		}
		client.Close()
		_ = server.SetReadDeadline(time.Now().Add(time.Hour))
		if n, err := server.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("Read = %d, %v of a dead peer; want a time-out", n, err)
		}
		if fresh, err := network.DialContext(t.Context(), "tcp", "host:1"); err != nil {
			t.Errorf("a dial after it: %v", err)
		} else {
			fresh.Close()
		}
	})
}

func TestNobodyListens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		network := shiptest.NewNetwork()
		dial := func() error {
			c, err := network.DialContext(t.Context(), "tcp", "host:1")
			if err == nil {
				c.Close()
			}
			return err
		}
		if err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("no listener: %v", err)
		}
		listener, err := network.Listen("host:1")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := network.Listen("host:1"); !errors.Is(err, syscall.EADDRINUSE) {
			t.Errorf("a second listener: %v", err)
		}
		network.Suffer(shiptest.Fault{Refuse: true})
		if err := dial(); !errors.Is(err, syscall.ECONNREFUSED) {
			t.Errorf("refused: %v", err)
		}
		network.Suffer(shiptest.Fault{})
		waiting, err := network.DialContext(t.Context(), "tcp", "host:1")
		if err != nil {
			t.Fatal(err)
		}
		listener.Close()
		if _, err := waiting.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("a connection that nobody accepts: %v", err)
		}
		waiting.Close()
		if n := network.Open(); n != 0 {
			t.Errorf("%d connections are open", n)
		}
	})
}
