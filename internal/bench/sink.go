package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// orders are what the sink is told before a run.
type orders struct {
	// Secret verifies what comes to /hook.
	Secret string
	// Refuse answers 503 to everything at /hook.
	Refuse bool
	// Keep leaves counts and places as they are.
	Keep bool
	// Arrivals notes when each message came, for GET /arrivals.
	Arrivals bool
}

// counts are what the sink has seen since its last orders.
type counts struct {
	// Verified requests, and how many webhook-ids they had.
	Verified, Distinct int
	// Forged have no good signature, Refused were answered 503.
	Forged, Refused int
	// Hanging are answered with silence.
	Hanging int
	// Disorder counts first deliveries that came after a later one of their
	// account.
	Disorder int
	// First and Last are when the first and the last new id came, in nanoseconds
	// since 1970.
	First, Last int64
}

// receiver is the sink's memory.
type receiver struct {
	mu       sync.Mutex
	orders   orders
	verifier *standardwebhooks.Webhook
	counts   counts
	seen     map[string]struct{}
	last     map[string]uint64 // account -> sequence
	// arrived has when each message came, by the provider's id of it; more is
	// closed when another one has.
	arrived map[string]int64
	more    chan struct{}
	// answer is what POST /answer answers with.
	answer []byte
}

// serveSink is the child's side: an HTTP server that verifies every request
// with the public library, until its input ends.
func serveSink(in io.Reader, out io.Writer) error {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := &receiver{more: make(chan struct{})}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /hook", r.hook)
	mux.HandleFunc("POST /hang/{n}", func(_ http.ResponseWriter, req *http.Request) {
		r.mu.Lock()
		r.counts.Hanging++
		r.mu.Unlock()
		_, _ = io.Copy(io.Discard, req.Body)
		select {
		case <-req.Context().Done():
		case <-ctx.Done():
		}
	})
	mux.HandleFunc("POST /nothing", func(_ http.ResponseWriter, req *http.Request) { _, _ = io.Copy(io.Discard, req.Body) })
	mux.HandleFunc("PUT /answer", r.keepAnswer)
	mux.HandleFunc("POST /answer", func(w http.ResponseWriter, req *http.Request) {
		_, _ = io.Copy(io.Discard, req.Body)
		w.Header().Set("Content-Type", "application/json; charset=utf-8")
		r.mu.Lock()
		answer := r.answer
		r.mu.Unlock()
		_, _ = w.Write(answer)
	})
	mux.HandleFunc("GET /arrivals/{id}", r.arrival)
	mux.HandleFunc("PUT /orders", r.takeOrders)
	mux.HandleFunc("GET /counts", func(w http.ResponseWriter, _ *http.Request) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.counts.Distinct = len(r.seen)
		_ = json.NewEncoder(w).Encode(r.counts)
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- srv.Serve(l) }()
	if _, err := fmt.Fprintln(out, "http://"+l.Addr().String()); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, in); err != nil {
		return err
	}
	cancel()
	if err := srv.Close(); err != nil {
		return err
	}
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

func (r *receiver) takeOrders(w http.ResponseWriter, req *http.Request) {
	var o orders
	if err := json.NewDecoder(req.Body).Decode(&o); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	v, err := standardwebhooks.NewWebhook(o.Secret)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.orders, r.verifier = o, v
	if !o.Keep {
		r.counts, r.seen, r.last, r.arrived = counts{}, map[string]struct{}{}, map[string]uint64{}, map[string]int64{}
	}
}

func (r *receiver) keepAnswer(w http.ResponseWriter, req *http.Request) {
	answer, err := io.ReadAll(req.Body)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.answer = answer
}

func (r *receiver) hook(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	r.mu.Lock()
	verifier, refuse := r.verifier, r.orders.Refuse
	r.mu.Unlock()
	status := http.StatusNoContent
	switch {
	case refuse:
		status = http.StatusServiceUnavailable
	case verifier == nil || verifier.Verify(body, req.Header) != nil:
		status = http.StatusUnauthorized
	}
	r.note(status, req.Header.Get("Webhook-Id"), body)
	w.WriteHeader(status)
}

func (r *receiver) note(status int, id string, body []byte) {
	account, sequence := place(body)
	r.mu.Lock()
	defer r.mu.Unlock()
	switch status {
	case http.StatusServiceUnavailable:
		r.counts.Refused++
		return
	case http.StatusUnauthorized:
		r.counts.Forged++
		return
	}
	r.counts.Verified++
	if _, again := r.seen[id]; again {
		return
	}
	r.seen[id] = struct{}{}
	if sequence < r.last[account] {
		r.counts.Disorder++
	}
	r.last[account] = sequence
	r.counts.Last = time.Now().UnixNano()
	if r.counts.First == 0 {
		r.counts.First = r.counts.Last
	}
	if r.orders.Arrivals {
		r.arrived[field(body, `"providerId":"`)] = r.counts.Last
		close(r.more)
		r.more = make(chan struct{})
	}
}

// arrival waits for a message and says when it came.
func (r *receiver) arrival(w http.ResponseWriter, req *http.Request) {
	for {
		r.mu.Lock()
		at, more := r.arrived[req.PathValue("id")], r.more
		r.mu.Unlock()
		if at != 0 {
			_ = json.NewEncoder(w).Encode(at)
			return
		}
		select {
		case <-more:
		case <-req.Context().Done():
			return
		}
	}
}

// field gives the text between a key and the next quotation mark.
func field(body []byte, key string) string {
	_, rest, ok := bytes.Cut(body, []byte(key))
	if !ok {
		return ""
	}
	value, _, _ := bytes.Cut(rest, []byte(`"`))
	return string(value)
}

// place reads account and sequence of a webhook's body. It knows how they are
// written, since decoding all of it would be more than a receiver's least.
func place(body []byte) (account string, sequence uint64) {
	account = field(body, `"account":{"id":"`)
	if _, rest, ok := bytes.Cut(body, []byte(`"sequence":`)); ok {
		n, _, _ := bytes.Cut(rest, []byte(`,`))
		sequence, _ = strconv.ParseUint(string(n), 10, 64)
	}
	return account, sequence
}

// sink is the parent's side.
type sink struct {
	*child
	url string
}

func startSink(ctx context.Context) (*sink, error) {
	c, err := startChild(ctx, "sink")
	if err != nil {
		return nil, err
	}
	return &sink{child: c, url: c.first}, nil
}

// order tells the sink what the next run is.
func (s *sink) order(ctx context.Context, o orders) error {
	body, err := json.Marshal(o)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPut, s.url+"/orders", bytes.NewReader(body))
	if err != nil {
		return err
	}
	return call(req, nil)
}

// check fails unless the sink saw exactly n events, each verified, and none
// twice.
func (s *sink) check(ctx context.Context, n int) error {
	c, err := s.counts(ctx)
	if err != nil {
		return err
	}
	if c.Distinct != n || c.Verified != n || c.Forged != 0 || c.Disorder != 0 {
		return fmt.Errorf("%d events were made, and the sink counts %+v", n, c)
	}
	return nil
}

func (s *sink) counts(ctx context.Context) (c counts, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/counts", nil)
	if err != nil {
		return c, err
	}
	return c, call(req, &c)
}

// call makes a request that must succeed, and decodes the answer into out.
func call(req *http.Request, out any) error { return callWith(http.DefaultClient, req, out) }

func callWith(c *http.Client, req *http.Request, out any) error {
	resp, err := c.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode/100 != 2 {
		return fmt.Errorf("%s %s: %s %s", req.Method, req.URL.Path, resp.Status, body[:min(len(body), 500)])
	}
	if out == nil {
		return nil
	}
	return json.Unmarshal(body, out)
}
