package main

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// bareSecret signs the reference's requests.
const bareSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

// bare measures signed requests that nothing stands behind: no journal, no
// store, no order, no second attempt.
func (b *bench) bare(ctx context.Context, producers, connections, n int, body []byte) (figures, error) {
	if err := b.sink.order(ctx, orders{Secret: bareSecret}); err != nil {
		return nil, err
	}
	p := b.poster(connections)
	defer p.transport.CloseIdleConnections()
	got, err := b.withProcessor(n, func() (figures, error) {
		return produce(producers, n, func(_, i int) error { return p.post(ctx, fmt.Sprintf("evt_%032d", i), body) })
	})
	if err != nil {
		return nil, err
	}
	return got, b.sink.check(ctx, n)
}

// poster sends requests that look like deliveries.
type poster struct {
	url       string
	transport *http.Transport
	// tamper changes bodies after they were signed.
	tamper bool
}

func (b *bench) poster(connections int) *poster {
	return &poster{url: b.sink.url + "/hook", transport: &http.Transport{
		MaxIdleConnsPerHost: connections, MaxConnsPerHost: connections, DisableCompression: true}}
}

// post sends one request with the headers and signatures of a delivery.
func (p *poster) post(ctx context.Context, id string, body []byte) error {
	signer, err := standardwebhooks.NewWebhook(bareSecret)
	if err != nil {
		return err
	}
	now := time.Now()
	standard, err := signer.Sign(id, now, body)
	if err != nil {
		return err
	}
	stamp := strconv.FormatInt(now.Unix(), 10)
	mac := hmac.New(sha256.New, []byte(bareSecret))
	mac.Write([]byte(stamp + "."))
	mac.Write(body)
	if p.tamper {
		body = append(bytes.Clone(body), ' ')
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header = http.Header{
		"Content-Type":      {"application/json"},
		"User-Agent":        {"Postern/bench"},
		"Webhook-Id":        {id},
		"Webhook-Timestamp": {stamp},
		"Webhook-Signature": {standard},
		"Postern-Signature": {"t=" + stamp + ",v1=" + hex.EncodeToString(mac.Sum(nil))},
		"Postern-Previous":  {"0"},
	}
	resp, err := p.transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("the sink answered %s", resp.Status)
	}
	return nil
}
