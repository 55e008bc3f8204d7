package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"
)

// poster sends batches and reports which were acknowledged.
type poster struct {
	endpoint, key string
	client        *http.Client
}

func newPoster(endpoint, caPath, key string) (poster, error) {
	text, err := os.ReadFile(caPath)
	if err != nil {
		return poster{}, err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(text)
	return poster{endpoint, key, &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, MaxIdleConnsPerHost: 16},
	}}, nil
}

// post returns the status of the acknowledgement, or an error if there is none.
func (p poster) post(id string, body io.Reader) (status string, err error) {
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.endpoint, body)
	if err != nil {
		return "", err
	}
	request.Header.Set("X-Api-Key", p.key)
	request.Header.Set("Idempotency-Key", id)
	response, err := p.client.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	var ack struct {
		BatchID string `json:"batch_id"`
		Status  string `json:"status"`
	}
	if err := json.NewDecoder(response.Body).Decode(&ack); err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK || ack.BatchID != id {
		return "", errors.New(response.Status)
	}
	return ack.Status, nil
}

// fakeTick is the interval of the fake agent.
const fakeTick = 50 * time.Millisecond

// fakeAgent takes ticks and delivers them in order. It keeps what it cannot
// deliver, and delivers the rest when it is asked to end.
func fakeAgent() int {
	key, err := os.ReadFile(os.Getenv("HEKA_API_KEY_FILE"))
	if err != nil {
		return fail(err)
	}
	p, err := newPoster(os.Getenv("HEKA_ENDPOINT"), os.Getenv("HEKA_TLS_CA_FILE"), strings.TrimSpace(string(key)))
	if err != nil {
		return fail(err)
	}
	if os.Getenv("HEKA_SPOOL_DIR") == "" || os.Getenv("HEKA_LOG_FILE") == "" {
		return fail(errors.New("no spool or log given"))
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	epoch := uint64(time.Now().UnixNano())
	made, delivered := 0, 0
	// The clock is read once, and batch n is tick n, so that a tick can only be
	// missing because its batch was lost.
	start := time.Now().UnixMilli()
	tick := time.NewTicker(fakeTick)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-tick.C:
			made++
		case <-ctx.Done():
		}
		for delivered < made {
			id, text := body("fake", epoch, delivered+1, start+int64(delivered)*fakeTick.Milliseconds(), fakeTick.Milliseconds())
			if _, err := p.post(id, text); err != nil {
				break
			}
			delivered++
		}
	}
	fmt.Printf("made %d delivered %d\n", made, delivered)
	return 0
}

func fail(err error) int {
	fmt.Println("fake agent:", err)
	return 1
}
